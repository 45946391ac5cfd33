"""The jobs: `generate` and `verify` for any set of timelapses in one run, `statistics` over the whole library.

Each is in a lane (`lanes`). When they run by themselves is in `schedules`.
"""

import dagster as dg

from thumb_pipeline.defs import lanes
from thumb_pipeline.defs.render_ops import render_chunk, report_order, take_order
from thumb_pipeline.defs.verify_ops import verify_oldest, verify_timelapses


@dg.graph(name="generate")
def generate_graph() -> None:
    """Plans and renders what is missing or stale, in any set of timelapses, in one run.

    Only timelapses with work enter it. The command `thumb-pipeline generate` runs this job.
    """
    report_order(take_order().map(render_chunk).collect())


@dg.graph(name="verify")
def verify_graph() -> None:
    """Compares every variant with what should be there, in any set of timelapses, in one run; read-only.

    Reports the timelapses whose verdict is another than reported last, and asks every check of the whole library.
    """
    verify_timelapses()


@dg.graph(name="verify_rolling")
def verify_rolling_graph() -> None:
    """Opens a part of the library to the last byte, what was looked at longest ago first; read-only."""
    verify_oldest()


generate = generate_graph.to_job(executor_def=dg.in_process_executor, tags=lanes.REGENERATION)
verify = verify_graph.to_job(executor_def=dg.in_process_executor, tags=lanes.MAINTENANCE)
verify_rolling = verify_rolling_graph.to_job(executor_def=dg.in_process_executor, tags=lanes.MAINTENANCE)
statistics = dg.define_asset_job(
    "statistics",
    selection=["coverage_statistics", "disk_usage_statistics"],
    description="Measures coverage and disk usage of the whole library, from a fresh listing.",
    tags=lanes.MAINTENANCE,
)
