"""Ties every run to the lease of its process, and ends runs in Dagster's records whose process is gone.

The one rule for that: Dagster cannot ask after a process with its default launcher, and believes for good in a run
whose code server went with it. Which runs are under way is in `in_flight`; leases are in `storage.leases`.
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
"""What `storage.leases` calls a lease; the name of its file."""

_LOST_TAG = "thumb_pipeline/lost"
_ASKED_AGAIN_TAG = "thumb_pipeline/retry_asked_again"

_SILENT_S = 60.0
"""Between the end of a run's lease and its last word there are events; Dagster waits for a lost database up to 22 s."""

_RETRY_WITHIN = timedelta(minutes=3)
_REMEMBERED = timedelta(days=1)

_NEED_A_PROCESS = [
    dg.DagsterRunStatus.NOT_STARTED,  # of a command that was killed between making its run and starting it
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@contextmanager
def lease_for_run(library: Library, instance: dg.DagsterInstance, run: dg.DagsterRun) -> Iterator[None]:
    """Holds a lease as long as a run is in this process, and names it in the run's tags; a command brings its own."""
    named = lease_of(run)
    with ExitStack() as held:
        if named is None or clean_up.is_abandoned(library, named):
            try:
                lease = held.enter_context(library.lease())
            except (*REFUSALS, *INTERRUPTIONS):
                lease = None  # the first op meets the same, and has words for it
            if lease is not None:
                instance.add_run_tags(run.run_id, {clean_up.LEASE_TAG: clean_up.lease_tag(lease, run.run_id)})
        yield


def lease_of(run: dg.DagsterRun) -> str | None:
    """The id of the lease of this run's process; a retry bears a copy of the tag of the run it repeats.

    A tag that names no lease, for anybody may give one to a run, is none.
    """
    named = clean_up.tagged_lease(run.tags.get(clean_up.LEASE_TAG, ""), run.run_id)
    return named if named is not None and _LEASE_ID.fullmatch(named) else None


def end_lost_runs(library: Library, instance: dg.DagsterInstance) -> None:
    """Marks runs as failed whose process was killed, and as cancelled where that was asked of them.

    Dagster's daemon then repeats those that may be (`run_retries` of the instance file).
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
    """Has Dagster's daemon look once more at runs that it was to repeat and did not.

    It looks once, at the event of the failure; when database or code server are away just then, nobody repeats the run.
    """
    now = datetime.now(UTC)
    failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=now - _REMEMBERED)
    for record in instance.get_run_records(failed, limit=100):
        if _is_forgotten(record, now):
            run = record.dagster_run
            instance.add_run_tags(run.run_id, {_ASKED_AGAIN_TAG: run.run_id})
            instance.report_run_failed(run, "This run was to be repeated and was not: asked again.")


def _is_lost(library: Library, instance: dg.DagsterInstance, record: dg.RunRecord) -> bool:
    """Whether a run's process is gone: its lease is free, or was given back long before its last word.

    A run of ours without a lease has not got as far as its first op; before it is started, its start time-out counts,
    but for one from the future, for which that would be over when the clock has caught up.
    """
    run, lease_id = record.dagster_run, lease_of(record.dagster_run)
    if lease_id is not None:
        if not clean_up.is_abandoned(library, lease_id):
            return False
        # The lease of a command outlasts its run: one that goes on without has lost its process for sure.
        is_certain = run.tags.get(COMMAND_TAG) == run.run_id or lease_id in clean_up.find_dead_leases(library)
        return is_certain or _is_silent(instance, record)
    if LANE_TAG not in run.tags:
        return False
    if run.status in (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING):
        return _is_silent(instance, record)
    return _silent_for_s(instance, record) < -SLACK_S


def _is_silent(instance: dg.DagsterInstance, record: dg.RunRecord) -> bool:
    """Whether a run's last word is long ago; one from the future was said before the clock was set back."""
    return abs(_silent_for_s(instance, record)) > _SILENT_S


def _silent_for_s(instance: dg.DagsterInstance, record: dg.RunRecord) -> float:
    last = instance.get_records_for_run(record.dagster_run.run_id, limit=1, ascending=False).records
    spoke_s = last[0].timestamp if last else record.create_timestamp.timestamp()
    return time.time() - spoke_s


def _is_forgotten(record: dg.RunRecord, now: datetime) -> bool:
    """Whether a failed run waits for the daemon for too long, or nobody knows how long, as it failed in the future.

    Our tags are copied to repetitions, so they name their run.
    """
    run, tags = record.dagster_run, record.dagster_run.tags
    is_due = tags.get(WILL_RETRY_TAG) == "true" or tags.get(_LOST_TAG) == run.run_id
    if not is_due or RETRY_TAG in tags or tags.get(_ASKED_AGAIN_TAG) == run.run_id or tags.get(MAX_RETRIES_TAG) == "0":
        return False
    return record.end_time is not None and abs(now.timestamp() - record.end_time) > _RETRY_WITHIN.total_seconds()
