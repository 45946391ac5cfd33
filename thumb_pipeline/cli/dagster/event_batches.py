"""Environment variables with which Dagster's services record large runs in fewer events, written in batches.

The services themselves are started in `services`.
"""

from collections.abc import Mapping

ALL_SERVICES = {"DAGSTER_EVENT_BATCH_SIZE": "200"}
"""PostgreSQL writes this many events of a run in the time of a few. SQLite always writes them one by one."""

DAEMON = {"DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS": "1"}
"""One event lists all timelapses of a run, in place of one event for each. Single events cost a third of a backfill,
all of it in the daemon, which has to start other runs meanwhile. In return, the asset's page marks no timelapse of a
failed run that the daemon made; the backfill's page does. Runs made in the UI or by commands do not come from the
daemon."""


def with_batches(environment: Mapping[str, str], *, is_daemon: bool) -> dict[str, str]:
    """The environment with these variables added; a value that it already has stays."""
    return {**ALL_SERVICES, **(DAEMON if is_daemon else {}), **environment}
