"""Reports on the assets what a run that belongs to no partition did in one timelapse.

The numbers come from `reporting`. Jobs that carry out an order of work report it themselves (`jobs.generate`).
"""

from dataclasses import replace

import dagster as dg
import polars as pl

from thumb_pipeline.datasets.schemas import MANIFEST, PLAN
from thumb_pipeline.defs.shown.reporting import inventory_metadata, plan_metadata, thumbnails_metadata
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.rendering.chunk import ChunkResult
from thumb_pipeline.stages.rendering.work_orders import FoundCounts, WorkOrder


def materialize(
    context: dg.OpExecutionContext, library: Library, key: str, found: FoundCounts, result: ChunkResult
) -> None:
    """Logs materializations of the three assets for a timelapse in which something was done."""
    inventory = inventory_metadata(library.inventory, [key])
    n_sources = library.inventory.query([key], lambda rows: rows.select(pl.len())).item()
    order = _as_order(context.run_id, {key: replace(found, sources=n_sources)})
    made = thumbnails_metadata(order, result, MANIFEST, keys=[key], sheet_base64=None)
    for asset, metadata in (
        ("image_inventory", inventory),
        ("missing_thumbnails", plan_metadata(found.by_reason, PLAN)),
        ("thumbnails", made),
    ):
        context.log_event(dg.AssetMaterialization(asset_key=asset, partition=key, metadata=metadata))


def _as_order(run_id: str, found: dict[str, FoundCounts]) -> WorkOrder:
    return WorkOrder(
        id=run_id, n_chunks=1, n_sources=0, n_variants=0, n_bytes=0, predicted_s=0, by_reason={}, found=found
    )
