"""The lanes that runs are in: tags by which the queue orders them and the UI finds them.

Their limits are in the instance file (`cli.instance`).
"""

LANE_TAG = "thumb_pipeline/lane"

CAPTURES = {LANE_TAG: "captures", "dagster/priority": "20"}
"""New captures. They are asked for again by their sensor, which knows when."""

MAINTENANCE = {LANE_TAG: "maintenance", "dagster/priority": "-10"}
"""What may wait."""
