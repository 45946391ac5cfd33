"""What runs by itself at night, in UTC: the library's own time zone is in its settings, which are not read at import.

What changes no picture runs unless an operator switches it off; what removes files has to be switched on.
"""

import dagster as dg


def _nightly(job: str, cron: str, description: str, *, is_on: bool) -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(
        name=f"nightly_{job}",
        job_name=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        description=description,
        default_status=dg.DefaultScheduleStatus.RUNNING if is_on else dg.DefaultScheduleStatus.STOPPED,
    )


NIGHTLY = [
    _nightly(
        "verify", "10 1 * * *", "Verifies the whole library and asks every check; changes no picture.", is_on=True
    ),
    _nightly("verify_rolling", "40 1 * * *", "Opens what was looked at longest ago, within its budget.", is_on=True),
    _nightly("statistics", "10 3 * * *", "Measures coverage and disk usage; changes no picture.", is_on=True),
    _nightly("trash", "40 3 * * *", "Deletes for good what was removed long ago, and frees its space.", is_on=False),
]
"""One line a schedule: its job, when, what it does, and whether it is on until an operator says otherwise."""
