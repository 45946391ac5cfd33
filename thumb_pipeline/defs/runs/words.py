"""Dagster's names for runs, and our own: tags, statuses, job names. Each is defined here once."""

import dagster as dg

PRIORITY_TAG = "dagster/priority"
BACKFILL_TAG = "dagster/backfill"
ROOT_BACKFILL_TAG = "dagster/root_backfill_id"
PARTITION_TAG = "dagster/partition"
PARTITION_RANGE_TAGS = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
MAX_RETRIES_TAG = "dagster/max_retries"
WILL_RETRY_TAG = "dagster/will_retry"
RETRY_TAG = "dagster/auto_retry_run_id"
REPEAT_FAILED_STEPS_TAG = "dagster/retry_on_asset_or_op_failure"

NO_RETRY = {MAX_RETRIES_TAG: "0"}
"""On runs that Dagster does not retry: whatever requested the run requests it again."""

ASSETS_JOB = "__ASSET_JOB"
"""The job name that Dagster gives to every run of assets that is launched by hand or by a backfill."""

CAPTURES_JOB = "new_captures"
TIMELAPSES = "timelapse"
"""The name of the partitions, one for each timelapse."""

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
"""Statuses of runs that are queued or running."""

UNFINISHED_BACKFILLS = {"REQUESTED", "CANCELING", "FAILING"}
"""Statuses of backfills that have not ended."""
