"""Which runs are under way, and which only seem to be because their process was killed."""

import time
from collections.abc import Collection

import dagster as dg

from thumb_pipeline.stages import recovery
from thumb_pipeline.stages.library import Library

CAPTURES_JOB = "new_captures"

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
"""Statuses of runs that wait or work."""

_BACKFILL_GOES_ON = {"REQUESTED", "CANCELING", "FAILING"}
_SILENT_S = 60.0


def attending_for_s(instance: dg.DagsterInstance, library: Library) -> dict[str, float]:
    """The runs that attend to new captures, or are about to, and for how long; none started yet is 0 s old.

    Runs of any job whose process was killed are marked as failed: Dagster does not notice such a run when the code
    server went with it, and would count it for ever.
    """
    records = instance.get_run_records(dg.RunsFilter(statuses=UNFINISHED))
    living = [record for record in records if not _is_dead(instance, record, library)]
    for record in records:
        if record not in living:
            instance.report_run_failed(
                record.dagster_run, "The process of this run was killed; the next run takes up what it left."
            )
    return {
        record.dagster_run.run_id: time.time() - record.start_time if record.start_time else 0.0
        for record in living
        if record.dagster_run.job_name == CAPTURES_JOB
    }


def unfinished_run_ids(instance: dg.DagsterInstance) -> Collection[str]:
    """Ids of all runs that wait or work."""
    return {run.run_id for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))}


def is_counted_on(instance: dg.DagsterInstance) -> bool:
    """Whether any run but those for new captures, or a backfill, is under way: it may count on any partition."""
    runs = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
    if any(run.job_name != CAPTURES_JOB for run in runs):
        return True
    return any(backfill.status.value in _BACKFILL_GOES_ON for backfill in instance.get_backfills(limit=50))


def _is_dead(instance: dg.DagsterInstance, record: dg.RunRecord, library: Library) -> bool:
    """Whether a run's process is gone: its lease is free, or was given back long before its last word."""
    run = record.dagster_run
    if run.status not in (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING):
        return False
    lease_id = run.tags.get(recovery.LEASE_TAG)
    if lease_id is None and run.job_name != CAPTURES_JOB:
        return False  # such a run names none
    if lease_id is not None and not recovery.is_abandoned(library, lease_id):
        return False
    return lease_id in recovery.dead_leases(library) or _is_silent(instance, run.run_id)


def _is_silent(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether a run has said nothing for a minute: between its lease's end and its own there are events."""
    last = instance.get_records_for_run(run_id, limit=1, ascending=False).records
    return bool(last) and time.time() - last[0].timestamp > _SILENT_S
