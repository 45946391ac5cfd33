"""The schedules: what is done without anybody asking, and not at once."""

import dagster as dg

from thumb_pipeline.defs.jobs import generate
from thumb_pipeline.defs.lanes import MAINTENANCE
from thumb_pipeline.defs.resources import LibraryResource


@dg.schedule(
    job_name=generate.name,
    cron_schedule="30 2 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description=(
        "Compares the whole library every night and makes what the watching missed: frames that were overwritten in "
        "place, renamed or deleted, settings that changed, variants that were lost."
    ),
)
def nightly_reconcile(context: dg.ScheduleEvaluationContext, library: LibraryResource) -> dg.RunRequest | dg.SkipReason:
    """One run of `generate` over everything; its key makes two daemons ask for one."""
    try:
        library.find()
    except dg.Failure as failure:
        return dg.SkipReason(failure.description)
    return dg.RunRequest(
        run_key=f"{context.scheduled_execution_time:%Y-%m-%dT%H:%M}",
        run_config={"ops": {"take_order": {"config": {"go_on_without_refused": True}}}},
        tags={**MAINTENANCE, "dagster/max_retries": "0"},  # the next night is the retry
    )
