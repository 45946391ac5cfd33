"""How Dagster's services record runs over many timelapses: with few events, and those together.

Only the variables; the services themselves are started in `up`.
"""

from collections.abc import Mapping

ALL_SERVICES = {"DAGSTER_EVENT_BATCH_SIZE": "200"}
"""PostgreSQL takes so many events of a run in the time of a few. SQLite takes them one by one whatever this says."""

DAEMON = {"DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS": "1"}
"""One event says which timelapses a run is to do, not one for each: a third of a backfill's cost, and all of it in the
daemon, which has to start other runs meanwhile. The asset's page then marks no timelapse of a failed run that the
daemon made; the backfill's page does. Runs made in the UI or by commands do not come from the daemon."""


def with_batches(environment: Mapping[str, str], *, is_daemon: bool) -> dict[str, str]:
    """An environment with these variables, where it does not say otherwise itself."""
    return {**ALL_SERVICES, **(DAEMON if is_daemon else {}), **environment}
