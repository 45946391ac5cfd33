"""The lanes of runs: tags by which the queue orders runs and the UI finds them.

Pictures on demand come first, as somebody waits for them, then new captures, then an operator's regeneration, then
maintenance. A priority orders Dagster's queue but preempts nothing: runs that have started go on. Runs without a
priority count as 0. The lanes' limits are in the instance file (`cli.dagster.instance`). Assets that are launched by
hand start in no lane; a pool limits them instead. `stages.library.library` (`is_urgent`) says which work yields its
cores.
"""

from thumb_pipeline.defs.runs.words import PRIORITY_TAG

LANE_TAG = "thumb_pipeline/lane"

RENDER_POOL = "render"
"""The pool of all work on whole timelapses that keeps all cores busy; the instance file limits how many run at once."""

ON_DEMAND = {LANE_TAG: "on_demand", PRIORITY_TAG: "20"}
"""Single pictures that somebody waits for."""

CAPTURES = {LANE_TAG: "captures", PRIORITY_TAG: "10"}
"""New captures. Their sensor decides when to request them again."""

REGENERATION = {LANE_TAG: "regeneration", PRIORITY_TAG: "0"}
"""What an operator asked for."""

MAINTENANCE = {LANE_TAG: "maintenance", PRIORITY_TAG: "-10"}
"""What may wait."""
