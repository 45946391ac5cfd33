"""`missing_thumbnails`: what is to be made, and why; a record for people, as `thumbnails` makes its own plan."""

import dagster as dg

from thumb_pipeline.datasets.schemas import PLAN, VARIANT_KEY
from thumb_pipeline.defs.assets.inventory import image_inventory
from thumb_pipeline.defs.config import PlanConfig
from thumb_pipeline.defs.partitions import timelapse_partitions, timelapses_of
from thumb_pipeline.defs.resources import LibraryResource
from thumb_pipeline.defs.runs.backfills import enter_lane
from thumb_pipeline.defs.runs.failures import refusals_as_failures
from thumb_pipeline.defs.runs.lanes import RENDER_POOL
from thumb_pipeline.defs.shown.reporting import plan_metadata, prediction_metadata, table
from thumb_pipeline.stages.planning.plan import make_plan
from thumb_pipeline.stages.rendering import accept_plan, work_orders


@dg.asset(
    partitions_def=timelapse_partitions,
    pool=RENDER_POOL,
    deps=[image_inventory],
    group_name="thumbnails",
    kinds={"polars", "parquet"},
    config_schema=PlanConfig.as_field(),
)
def missing_thumbnails(context: dg.AssetExecutionContext, library: LibraryResource) -> dg.MaterializeResult[None]:
    """The plan: every variant of the timelapse that is missing, stale or corrupt, with the reason."""
    config, opened = PlanConfig.of(context), library.open(context.instance)
    enter_lane(context)
    keys = timelapses_of(context)
    with refusals_as_failures(delays_s=opened.settings.retries.delays_s), opened.lease() as lease:
        plan = make_plan(opened, config.selection(keys), lease)
        accept_plan.keep_plan(opened, plan, keys)
    shown = plan.rows.select(*VARIANT_KEY, "reason")
    order = work_orders.describe(opened, plan, context.run.run_id)
    metadata = {**plan_metadata(order.by_reason, PLAN), **prediction_metadata(order)}
    return dg.MaterializeResult(metadata={**metadata, "first_rows": table(shown, limit=20)})
