"""Which runs are under way, and which only seem to be because their process was killed."""

import time
from collections.abc import Collection

import dagster as dg

from thumb_pipeline.stages import recovery
from thumb_pipeline.stages.library import Library

_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_BACKFILL_GOES_ON = {"REQUESTED", "CANCELING", "FAILING"}
_NAMES_ITS_LEASE_WITHIN_S = 60.0


def is_attended(instance: dg.DagsterInstance, library: Library, job_name: str) -> bool:
    """Whether a run of a job is under way; those whose process was killed are marked as failed.

    Dagster does not notice such a run when the code server went with it, and would count it for ever.
    """
    records = instance.get_run_records(dg.RunsFilter(job_name=job_name, statuses=_UNFINISHED))
    living = [record for record in records if not _is_dead(record, library)]
    for record in records:
        if record not in living:
            instance.report_run_failed(
                record.dagster_run, "The process of this run was killed; the next run takes up what it left."
            )
    return bool(living)


def unfinished_run_ids(instance: dg.DagsterInstance) -> Collection[str]:
    """Ids of all runs that wait or work."""
    return {run.run_id for run in instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED))}


def is_counted_on(instance: dg.DagsterInstance) -> bool:
    """Whether any run but those for new captures, or a backfill, is under way: it may count on any partition."""
    runs = instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED))
    if any(run.job_name != "new_captures" for run in runs):
        return True
    return any(backfill.status.value in _BACKFILL_GOES_ON for backfill in instance.get_backfills(limit=50))


def _is_dead(record: dg.RunRecord, library: Library) -> bool:
    run = record.dagster_run
    if run.status not in (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING):
        return False
    lease_id = run.tags.get(recovery.LEASE_TAG)
    if lease_id is not None:
        return recovery.is_abandoned(library, lease_id)
    return record.start_time is not None and time.time() - record.start_time > _NAMES_ITS_LEASE_WITHIN_S
