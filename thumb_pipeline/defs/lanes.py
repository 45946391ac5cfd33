"""The lanes that runs are in: tags by which the queue orders them and the UI finds them.

New captures are waited for, an operator's regeneration is watched, maintenance is neither. A priority orders Dagster's
queue of runs and preempts nothing: what runs goes on. Runs without one count as 0. The lanes' limits are in the
instance file (`cli.instance`).
"""

PRIORITY = "dagster/priority"
LANE_TAG = "thumb_pipeline/lane"

CAPTURES = {LANE_TAG: "captures", PRIORITY: "10"}
"""New captures. They are asked for again by their sensor, which knows when."""

REGENERATION = {LANE_TAG: "regeneration", PRIORITY: "0"}
"""What an operator asked for."""

MAINTENANCE = {LANE_TAG: "maintenance", PRIORITY: "-10"}
"""What may wait."""
