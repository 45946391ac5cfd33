"""Ties every run to the lease of its process, and ends runs in Dagster's records whose process is gone.

This is the only place that decides so. With its default launcher, Dagster cannot check whether a process is alive: it
keeps a run as running for ever when its code server was killed too. Which runs are under way is in `in_flight`; leases
are in `storage.leases`.
"""

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta

import dagster as dg

from thumb_pipeline.defs.runs.failures import COMMAND_TAG
from thumb_pipeline.defs.runs.lanes import LANE_TAG
from thumb_pipeline.defs.runs.words import MAX_RETRIES_TAG, RETRY_TAG, WILL_RETRY_TAG
from thumb_pipeline.domain.clocks import SLACK_S
from thumb_pipeline.stages.library import clean_up
from thumb_pipeline.stages.library.errors import INTERRUPTIONS, REFUSALS
from thumb_pipeline.stages.library.library import Library

_LEASE_ID = re.compile("[0-9a-f]{8}")
"""The form of a lease id (`storage.leases`), which is also the name of its file."""

_LOST_TAG = "thumb_pipeline/lost"
_ASKED_AGAIN_TAG = "thumb_pipeline/retry_asked_again"

_SILENT_S = 60.0
"""How long a run that holds no lease may be silent before it counts as lost.

A run still logs events after its lease ends, and Dagster waits up to 22 s for a lost database.
"""

_RETRY_WITHIN = timedelta(minutes=3)
_REMEMBERED = timedelta(days=1)

_NEED_A_PROCESS = [
    dg.DagsterRunStatus.NOT_STARTED,  # a command was killed between creating its run and starting it
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@contextmanager
def lease_for_run(library: Library, instance: dg.DagsterInstance, run: dg.DagsterRun) -> Iterator[None]:
    """Holds a lease while a run is in this process, and names it in the run's tags, unless its command holds one."""
    lease_id = lease_of(run)
    with ExitStack() as held:
        if lease_id is None or clean_up.is_abandoned(library, lease_id):
            try:
                lease = held.enter_context(library.lease())
            except (*REFUSALS, *INTERRUPTIONS):
                lease = None  # the first op meets the same error and reports it
            if lease is not None:
                instance.add_run_tags(run.run_id, {clean_up.LEASE_TAG: clean_up.lease_tag(lease, run.run_id)})
        yield


def lease_of(run: dg.DagsterRun) -> str | None:
    """The id of the lease of this run's process; None if the run has none.

    A retry carries a copy of the tag of the run that it repeats, which does not count. Nor does a tag that names no
    lease, as anybody can tag a run.
    """
    lease_id = clean_up.tagged_lease(run.tags.get(clean_up.LEASE_TAG, ""), run.run_id)
    return lease_id if lease_id is not None and _LEASE_ID.fullmatch(lease_id) else None


def end_lost_runs(library: Library, instance: dg.DagsterInstance) -> None:
    """Marks runs whose process was killed as failed, or as cancelled if a cancel was requested.

    Dagster's daemon then retries the failed ones if their tags allow it (`run_retries` of the instance file).
    """
    for record in instance.get_run_records(dg.RunsFilter(statuses=_NEED_A_PROCESS)):
        if not _is_lost(library, instance, record):
            continue
        run = record.dagster_run
        if run.status == dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, "The process of this run is gone.")
        else:
            instance.add_run_tags(run.run_id, {_LOST_TAG: run.run_id})
            instance.report_run_failed(run, "The process of this run was killed; what it finished is kept.")


def ask_again_for_lost_retries(instance: dg.DagsterInstance) -> None:
    """Makes Dagster's daemon look once more at runs that it should have retried and did not.

    The daemon looks only once, at the event of the failure. If the database or the code server is away just then, the
    run is never retried.
    """
    now = datetime.now(UTC)
    failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=now - _REMEMBERED)
    for record in instance.get_run_records(failed, limit=100):
        if _is_forgotten(record, now):
            run = record.dagster_run
            instance.add_run_tags(run.run_id, {_ASKED_AGAIN_TAG: run.run_id})
            instance.report_run_failed(run, "This run should have been retried and was not; a retry is requested.")


def _is_lost(library: Library, instance: dg.DagsterInstance, record: dg.RunRecord) -> bool:
    """Whether a run's process is gone.

    A run whose lease is free is lost if the lease was left by a killed process, if it is the lease of the run's own
    command, or if the run has been silent for long. A run in one of our lanes without a lease has not reached its first
    op. Once started, it is lost if it has been silent for long. Before that, Dagster's start time-out applies, except
    to a run whose last event lies in the future: its time-out would not end before the clock has caught up.
    """
    run, lease_id = record.dagster_run, lease_of(record.dagster_run)
    if lease_id is not None:
        if not clean_up.is_abandoned(library, lease_id):
            return False
        # A command holds its lease longer than its run lasts: a run that goes on without it has lost its process.
        is_certain = run.tags.get(COMMAND_TAG) == run.run_id or lease_id in clean_up.find_dead_leases(library)
        return is_certain or _is_silent(instance, record)
    if LANE_TAG not in run.tags:
        return False
    if run.status in (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING):
        return _is_silent(instance, record)
    return _measure_silence_s(instance, record) < -SLACK_S


def _is_silent(instance: dg.DagsterInstance, record: dg.RunRecord) -> bool:
    """Whether a run's last event is long ago; an event from the future was logged before the clock was set back."""
    return abs(_measure_silence_s(instance, record)) > _SILENT_S


def _measure_silence_s(instance: dg.DagsterInstance, record: dg.RunRecord) -> float:
    last = instance.get_records_for_run(record.dagster_run.run_id, limit=1, ascending=False).records
    spoke_s = last[0].timestamp if last else record.create_timestamp.timestamp()
    return time.time() - spoke_s


def _is_forgotten(record: dg.RunRecord, now: datetime) -> bool:
    """Whether a failed run has waited too long for the daemon's retry, or failed in the future, by a changed clock.

    Retries get a copy of our tags, so the tags name the run that they belong to.
    """
    run, tags = record.dagster_run, record.dagster_run.tags
    is_due = tags.get(WILL_RETRY_TAG) == "true" or tags.get(_LOST_TAG) == run.run_id
    if not is_due or RETRY_TAG in tags or tags.get(_ASKED_AGAIN_TAG) == run.run_id or tags.get(MAX_RETRIES_TAG) == "0":
        return False
    return record.end_time is not None and abs(now.timestamp() - record.end_time) > _RETRY_WITHIN.total_seconds()
