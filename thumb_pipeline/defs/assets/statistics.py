"""`coverage_statistics` and `disk_usage_statistics`: numbers over the whole library, from fresh listings."""

import dagster as dg

from thumb_pipeline.defs.assets.thumbnails import thumbnails
from thumb_pipeline.defs.resources import LibraryResource
from thumb_pipeline.defs.runs.failures import refusals_as_failures
from thumb_pipeline.defs.shown.reporting import coverage_metadata, disk_usage_metadata
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.verification.statistics import Measurement, measure


@dg.asset(
    deps=[thumbnails],
    group_name="statistics",
    kinds={"polars"},
)
def coverage_statistics(context: dg.AssetExecutionContext, library: LibraryResource) -> dg.MaterializeResult[None]:
    """How many of the variants that must exist do, by variant and by timelapse."""
    return dg.MaterializeResult(metadata=coverage_metadata(_measure(library.open(context.instance))))


@dg.asset(
    deps=[thumbnails],
    group_name="statistics",
    kinds={"polars"},
)
def disk_usage_statistics(context: dg.AssetExecutionContext, library: LibraryResource) -> dg.MaterializeResult[None]:
    """Files and bytes in the variant folders, by variant and by timelapse."""
    return dg.MaterializeResult(metadata=disk_usage_metadata(_measure(library.open(context.instance))))


def _measure(library: Library) -> Measurement:
    with refusals_as_failures():
        return measure(library)
