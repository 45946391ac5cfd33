"""The partitions: one a timelapse, by keys like `camera-1/timelapse-2`, added as timelapses appear."""

import dagster as dg

timelapse_partitions = dg.DynamicPartitionsDefinition(name="timelapse")


def register_timelapses(instance: dg.DagsterInstance, keys: list[str]) -> list[str]:
    """Adds those keys that are no partitions yet; returns them."""
    known = set(instance.get_dynamic_partitions("timelapse"))
    new = sorted(set(keys) - known)
    if new:
        instance.add_dynamic_partitions("timelapse", new)
    return new
