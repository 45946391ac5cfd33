"""The job `statistics`: both statistics of the whole library."""

import dagster as dg

from thumb_pipeline.defs.runs import lanes

statistics = dg.define_asset_job(
    "statistics",
    selection=["coverage_statistics", "disk_usage_statistics"],
    description="Measures coverage and disk usage of the whole library, from a fresh listing.",
    tags=lanes.MAINTENANCE,
)
