"""The nightly schedules, in UTC: the library's time zone is in its settings, which are not read at import.

Schedules that remove files are off until an operator switches them on; all others are on.
"""

import dagster as dg

from thumb_pipeline.defs import settings_trouble
from thumb_pipeline.defs.resources import LibraryResource
from thumb_pipeline.defs.runs import lanes
from thumb_pipeline.defs.runs.words import NO_RETRY


def _nightly(job: str, cron: str, description: str, *, is_on: bool) -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(
        name=f"nightly_{job}",
        job_name=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        description=description,
        default_status=dg.DefaultScheduleStatus.RUNNING if is_on else dg.DefaultScheduleStatus.STOPPED,
    )


@dg.schedule(
    job_name="generate",
    cron_schedule="30 2 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description=(
        "Compares the whole library every night and makes what the sensor missed: frames that were overwritten in "
        "place, renamed or deleted, settings that changed, variants that were lost."
    ),
)
def nightly_reconcile(context: dg.ScheduleEvaluationContext, library: LibraryResource) -> dg.RunRequest | dg.SkipReason:
    """Requests one run of `generate` over everything; the run key stops two daemons from starting it twice."""
    try:
        opened = library.find()
    except dg.Failure as failure:
        return dg.SkipReason(failure.description)
    if opened.trouble is not None:
        context.log.warning(str(opened.trouble))
    return dg.RunRequest(
        run_key=f"{context.scheduled_execution_time:%Y-%m-%dT%H:%M}",
        run_config={"ops": {"take_order": {"config": {"go_on_without_refused": True}}}},
        tags={
            **lanes.MAINTENANCE,
            **settings_trouble.run_tags(opened),
            **NO_RETRY,  # the next night is the retry
        },
    )


NIGHTLY = [
    nightly_reconcile,
    _nightly(
        "verify", "10 1 * * *", "Verifies the whole library and asks every check; changes no picture.", is_on=True
    ),
    _nightly("verify_rolling", "40 1 * * *", "Opens what was looked at longest ago, within its budget.", is_on=True),
    _nightly("statistics", "10 3 * * *", "Measures coverage and disk usage; changes no picture.", is_on=True),
    _nightly(
        "forget_runs", "50 3 * * *", "Deletes old finished runs from Dagster's records; deletes no picture.", is_on=True
    ),
    _nightly("trash", "40 3 * * *", "Deletes for good what was removed long ago, and frees its space.", is_on=False),
]
"""All schedules, each with its job, its time, what it does, and whether it is on by default."""
