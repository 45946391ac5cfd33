"""`image_inventory`: which sources exist."""

import dagster as dg

from thumb_pipeline.defs.config import InventoryConfig
from thumb_pipeline.defs.partitions import timelapse_partitions, timelapses_of
from thumb_pipeline.defs.resources import LibraryResource
from thumb_pipeline.defs.runs.backfills import enter_lane
from thumb_pipeline.defs.runs.failures import refusals_as_failures
from thumb_pipeline.defs.runs.lanes import RENDER_POOL
from thumb_pipeline.defs.shown.reporting import inventory_metadata
from thumb_pipeline.stages.inventory.selection import refuse_shrunken, surveys
from thumb_pipeline.stages.inventory.survey import accept


@dg.asset(
    partitions_def=timelapse_partitions,
    pool=RENDER_POOL,
    group_name="thumbnails",
    kinds={"polars", "parquet"},
    config_schema=InventoryConfig.as_field(),
)
def image_inventory(context: dg.AssetExecutionContext, library: LibraryResource) -> dg.MaterializeResult[None]:
    """One row for each source of the timelapse: when it was captured, its size, its mtime, its fingerprint."""
    config, opened = InventoryConfig.of(context), library.open(context.instance)
    enter_lane(context)
    keys = timelapses_of(context)
    with refusals_as_failures(delays_s=opened.settings.retries.delays_s):
        found = list(surveys(opened, keys))
        refuse_shrunken(config.selection(keys), [shrinkage for part in found for shrinkage in part.shrunken])
        for part in found:
            accept(opened, part)
        metadata = inventory_metadata(opened.inventory, keys)
    return dg.MaterializeResult(metadata=metadata)
