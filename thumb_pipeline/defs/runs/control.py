"""Stops runs and backfills, and lists the backfills under way. Used by the command line (`cli.dagster.runs`).

What a run does when it is asked to stop is in `storage.stopping`.
"""

import contextlib
import os
import signal
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg

from thumb_pipeline.defs.runs.lost_runs import end_lost_runs, lease_of
from thumb_pipeline.defs.runs.words import BACKFILL_TAG, NO_RETRY, UNFINISHED, UNFINISHED_BACKFILLS
from thumb_pipeline.stages.library import clean_up
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.library.refused import Refused

_MOST_BACKFILLS = 50
_PARTS = ("target", "requested", "materialized", "failed_and_downstream")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillState:
    """A backfill under way.

    Attributes:
        backfill_id: as the UI shows it.
        status: requested, canceling or failing.
        since: when it was launched.
        n_runs: number of runs that it has started so far.
        n_ended: how many of these runs have ended.
        n_timelapses: number of timelapses in its plan.
        n_requested: how many of these timelapses were given to runs so far.
        n_done: how many of these timelapses are finished, by the daemon's last count; it counts every 30 s.
        n_failed: how many of these timelapses failed with their run, by the same count.
        working_since: when its first run began; None before.
    """

    backfill_id: str
    status: str
    since: datetime
    n_runs: int
    n_ended: int
    n_timelapses: int
    n_requested: int
    n_done: int
    n_failed: int
    working_since: datetime | None


def live_backfills(instance: dg.DagsterInstance) -> list[BackfillState]:
    """The backfills under way, the latest first."""
    backfills = instance.get_backfills(limit=_MOST_BACKFILLS)
    return [_read_state(instance, backfill) for backfill in backfills if backfill.status.value in UNFINISHED_BACKFILLS]


def stop_backfill(instance: dg.DagsterInstance, backfill_id: str) -> bool:
    """Keeps a backfill from starting more runs; returns whether there is such a backfill under way.

    Its runs have to be stopped like others; the daemon marks the backfill as cancelled when they have ended.
    """
    backfill = instance.get_backfill(backfill_id)
    if backfill is None or backfill.status.value not in UNFINISHED_BACKFILLS:
        return False
    if backfill.status.value == "REQUESTED":
        canceling = type(backfill.status)("CANCELING")
        instance.update_backfill(backfill.with_status(canceling))  # type: ignore[no-untyped-call]  # Dagster's
    return True


def runs_of(instance: dg.DagsterInstance, backfill_id: str) -> list[str]:
    """Ids of a backfill's runs that are queued or running."""
    mine = dg.RunsFilter(statuses=UNFINISHED, tags={BACKFILL_TAG: backfill_id})
    return [run.run_id for run in instance.get_runs(mine)]


def refuse_unstoppable(instance: dg.DagsterInstance, run_or_backfill_id: str) -> None:
    """Refuses an id that is not that of an unfinished run or backfill.

    Raises:
        Refused: there is nothing to stop; the message says why.
    """
    run = instance.get_run_by_id(run_or_backfill_id)
    backfill = None if run is not None else instance.get_backfill(run_or_backfill_id)
    if run is None and backfill is None:
        raise Refused(
            f"no run or backfill {run_or_backfill_id}; thumb-pipeline status lists those that can be cancelled"
        )
    if run is not None and run.is_finished:
        raise Refused(f"run {run.run_id} has ended already ({run.status.value})")
    if backfill is not None and backfill.status.value not in UNFINISHED_BACKFILLS:
        raise Refused(f"backfill {backfill.backfill_id} has ended already ({backfill.status.value})")


def stop_run(library: Library, instance: dg.DagsterInstance, run_id: str) -> None:
    """Takes a run out of the queue, or asks its process to stop; a run that has just ended stays as it is.

    The run's lease names its process. Before it has a lease, Dagster's queue or launcher has to stop it.
    """
    run = instance.get_run_by_id(run_id)
    if run is None or run.is_finished:
        return
    instance.add_run_tags(run_id, NO_RETRY)  # however it ends, it must not be repeated
    pid = _find_process(library, run)
    if pid is not None:
        if run.status != dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceling(run)
        _send_signal(pid, signal.SIGINT)
    elif not _ask_dagster_to_cancel(instance, run_id):
        end_lost_runs(library, instance)


def _ask_dagster_to_cancel(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Asks Dagster's queue or code server to stop the run; returns whether it accepts, which a killed one does not."""
    try:
        return instance.run_coordinator.cancel_run(run_id)
    except dg.DagsterError:
        return False


def end_process(library: Library, instance: dg.DagsterInstance, run_id: str) -> None:
    """Kills the process of a run that did not stop; this is safe, as files are published whole or not at all."""
    run = instance.get_run_by_id(run_id)
    pid = None if run is None or run.is_finished else _find_process(library, run)
    if run is not None and pid is not None:
        instance.report_run_canceled(run, "It did not stop when it was asked to, so its process was killed.")
        _send_signal(pid, signal.SIGKILL)  # after the report, as its code server would report a crash


def call_cancelled(instance: dg.DagsterInstance, run_id: str) -> None:
    """Marks a run as cancelled that was stopped and ended as a failure.

    A run that is asked to stop while its process starts does not know that: Dagster overwrites its status.
    """
    run = instance.get_run_by_id(run_id)
    if run is not None and run.status == dg.DagsterRunStatus.FAILURE:
        instance.report_run_canceled(run, "It was stopped.")


def _find_process(library: Library, run: dg.DagsterRun) -> int | None:
    lease_id = lease_of(run)
    return None if lease_id is None else clean_up.holder(library, lease_id)


def _send_signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has just ended, and its workers hold the lease a moment longer
        os.kill(pid, number)


def _read_state(instance: dg.DagsterInstance, backfill: object) -> BackfillState:
    backfill_id = str(getattr(backfill, "backfill_id"))  # noqa: B009 -- its type is private to Dagster
    mine = dg.RunsFilter(tags={BACKFILL_TAG: backfill_id})
    n_runs = instance.get_runs_count(mine)
    first = instance.get_run_records(mine, limit=1, ascending=True)
    began = first[0].start_time if first else None
    data = getattr(backfill, "asset_backfill_data", None)
    planned, requested, done, failed = (_timelapses(data, f"{part}_subset") for part in _PARTS)
    return BackfillState(
        backfill_id=backfill_id,
        status=str(getattr(backfill, "status").value).lower(),  # noqa: B009
        since=datetime.fromtimestamp(getattr(backfill, "backfill_timestamp"), UTC),  # noqa: B009
        n_runs=n_runs,
        n_ended=n_runs - len(runs_of(instance, backfill_id)),
        n_timelapses=len(planned),
        n_requested=len(requested),
        n_done=sum(done[key] == n_assets for key, n_assets in planned.items()),
        n_failed=len(failed),
        working_since=None if began is None else datetime.fromtimestamp(began, UTC),
    )


def _timelapses(data: object, name: str) -> Counter[str]:
    """The timelapses in a part of an asset backfill, each with the number of its assets there; else empty."""
    subset = getattr(data, name, None)
    parts = () if subset is None else subset.iterate_asset_partitions()
    return Counter(part.partition_key for part in parts if part.partition_key is not None)
