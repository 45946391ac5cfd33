"""Dagster's words for runs, and ours that runs bear: tags, statuses, names. Each stands here once."""

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
"""A run that Dagster does not repeat: whoever asked for it asks again."""

ASSETS_JOB = "__ASSET_JOB"
"""What Dagster calls every run of assets that is launched by hand or by a backfill."""

CAPTURES_JOB = "new_captures"
TIMELAPSES = "timelapse"
"""The name of the partitions, one a timelapse."""

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
"""Statuses of runs that wait or work."""

UNFINISHED_BACKFILLS = {"REQUESTED", "CANCELING", "FAILING"}
"""Statuses of backfills that wait or work."""
