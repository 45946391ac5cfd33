"""The code location: assembles the definitions and defines nothing.

`dagster -m thumb_pipeline.definitions` and any workspace load `defs`; tests and the command line call
`build_definitions` with resources of their own. Loading needs no environment variable and no library; where there is
one, its settings say how many timelapses a run of a backfill takes.
"""

from collections.abc import Callable

import dagster as dg

from thumb_pipeline.defs.assets.inventory import image_inventory
from thumb_pipeline.defs.assets.plan import missing_thumbnails
from thumb_pipeline.defs.assets.reports import unknown_folders, verification
from thumb_pipeline.defs.assets.statistics import coverage_statistics, disk_usage_statistics
from thumb_pipeline.defs.assets.thumbnails import thumbnails
from thumb_pipeline.defs.batches import backfill_policy
from thumb_pipeline.defs.checks import library_checks
from thumb_pipeline.defs.jobs.forget_runs import forget_runs
from thumb_pipeline.defs.jobs.generate import generate
from thumb_pipeline.defs.jobs.generate_on_demand import generate_on_demand
from thumb_pipeline.defs.jobs.new_captures import new_captures
from thumb_pipeline.defs.jobs.removal import MAINTENANCE_JOBS, MAINTENANCE_REPORTS
from thumb_pipeline.defs.jobs.repair import repair
from thumb_pipeline.defs.jobs.statistics import statistics
from thumb_pipeline.defs.jobs.verify import verify, verify_rolling
from thumb_pipeline.defs.resources import ProgressResource, library_resource, values_between_ops
from thumb_pipeline.defs.schedules import NIGHTLY
from thumb_pipeline.defs.sensors import new_captures_sensor
from thumb_pipeline.stages.library.service_folders import never_make_folders_anew
from thumb_pipeline.stages.rendering.chunk import ChunkResult

__all__ = ["build_definitions", "defs"]


def build_definitions(
    *,
    library: str = "",
    on_source: Callable[[int], None] | None = None,
    on_chunk: Callable[[ChunkResult], None] | None = None,
) -> dg.Definitions:
    """The whole code location.

    Args:
        library: folder of the library; empty takes it from the environment when a run needs it.
        on_source: told by chunks rendered in this process how many sources are done, those of earlier chunks included.
        on_chunk: given what each of them did.
    """
    by_timelapse = (image_inventory, missing_thumbnails, thumbnails, verification)
    policy = backfill_policy(library)  # one for all: assets that say the same share their runs
    return dg.Definitions(
        assets=[
            *(asset.with_attributes(backfill_policy=policy) for asset in by_timelapse),
            *(unknown_folders, coverage_statistics, disk_usage_statistics),
            *MAINTENANCE_REPORTS,
        ],
        asset_checks=[library_checks],
        jobs=[
            generate,
            new_captures,
            generate_on_demand,
            verify,
            verify_rolling,
            statistics,
            repair,
            *MAINTENANCE_JOBS,
            forget_runs,
        ],
        sensors=[new_captures_sensor],
        schedules=NIGHTLY,
        resources={
            "library": library_resource(library),
            "io_manager": values_between_ops,
            "progress": ProgressResource(tell=on_source, keep=on_chunk),
        },
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The code location as Dagster loads it: in code servers and runs."""
    never_make_folders_anew()
    return build_definitions()
