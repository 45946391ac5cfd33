"""`verification_report` and `orphan_report`, both from one verification, and `unknown_folders`."""

from collections.abc import Iterator

import dagster as dg

from thumb_pipeline.defs.assets.inventory import image_inventory
from thumb_pipeline.defs.assets.thumbnails import thumbnails
from thumb_pipeline.defs.partitions import timelapse_partitions, timelapses_of
from thumb_pipeline.defs.resources import LibraryResource
from thumb_pipeline.defs.runs.backfills import enter_lane
from thumb_pipeline.defs.runs.failures import refusals_as_failures
from thumb_pipeline.defs.runs.lanes import RENDER_POOL
from thumb_pipeline.defs.shown.report_metadata import orphan_metadata, unknown_folder_metadata, verification_metadata
from thumb_pipeline.defs.verification import ORPHANS, VERIFICATION, evaluate_checks, verify_and_report
from thumb_pipeline.stages.inventory.listing import discover


@dg.multi_asset(
    name="verification",
    specs=[
        dg.AssetSpec(
            VERIFICATION,
            deps=[thumbnails],
            description=(
                "The state of every variant of the timelapse, by a fresh listing of its sources and variants: valid, "
                "missing, stale, corrupt, failed … Nothing is corrected here."
            ),
            group_name="reports",
            kinds={"polars", "parquet"},
        ),
        dg.AssetSpec(
            ORPHANS,
            deps=[image_inventory, thumbnails],
            description=(
                "The files in the timelapse's variant folders that nothing expects, with their bytes, their age, why "
                "nothing expects them and the evidence for it. Nothing is removed here."
            ),
            group_name="reports",
            kinds={"polars"},
        ),
    ],
    partitions_def=timelapse_partitions,
    pool=RENDER_POOL,
    can_subset=True,
)
def verification(context: dg.AssetExecutionContext, library: LibraryResource) -> Iterator[dg.MaterializeResult[None]]:
    """Verifies the run's timelapses once, for one or both of the reports."""
    opened = library.open(context.instance)
    enter_lane(context)
    asked_for = {key.to_user_string() for key in context.selected_asset_keys}
    with refusals_as_failures():
        verified = verify_and_report(opened, timelapses_of(context), mark=asked_for == {VERIFICATION, ORPHANS})
    if VERIFICATION in asked_for:
        yield dg.MaterializeResult(asset_key=VERIFICATION, metadata=verification_metadata(opened, verified))
    if ORPHANS in asked_for:
        yield dg.MaterializeResult(asset_key=ORPHANS, metadata=orphan_metadata(verified))
    if VERIFICATION not in asked_for:  # its checks are not part of this run, but their data has changed
        with refusals_as_failures():
            for answer in evaluate_checks(opened):
                context.log_event(answer)


@dg.asset(group_name="reports")
def unknown_folders(context: dg.AssetExecutionContext, library: LibraryResource) -> dg.MaterializeResult[None]:
    """The folders below cameras/ that belong to no known timelapse. They are listed here and never touched."""
    opened = library.open(context.instance)
    with refusals_as_failures():
        discovery = discover(opened)
    return dg.MaterializeResult(metadata=unknown_folder_metadata(discovery))
