"""The lanes that runs are in: tags by which the queue orders them and the UI finds them.

A picture on demand is waited for, new captures nearly so, an operator's regeneration is watched, maintenance is none of
it. A priority orders Dagster's queue of runs and preempts nothing: what runs goes on. Runs without one count as 0. The
lanes' limits are in the instance file (`cli.dagster.instance`); assets that are launched by hand are in no lane and
bear a pool instead. Which work leaves its cores to which is said in `stages.library.library` (`is_urgent`).
"""

from thumb_pipeline.defs.runs.words import PRIORITY_TAG

LANE_TAG = "thumb_pipeline/lane"

RENDER_POOL = "render"
"""Of everything that goes over whole timelapses and keeps all cores busy; the instance file says how many runs may."""

ON_DEMAND = {LANE_TAG: "on_demand", PRIORITY_TAG: "20"}
"""Single pictures that somebody waits for."""

CAPTURES = {LANE_TAG: "captures", PRIORITY_TAG: "10"}
"""New captures. They are asked for again by their sensor, which knows when."""

REGENERATION = {LANE_TAG: "regeneration", PRIORITY_TAG: "0"}
"""What an operator asked for."""

MAINTENANCE = {LANE_TAG: "maintenance", PRIORITY_TAG: "-10"}
"""What may wait."""
