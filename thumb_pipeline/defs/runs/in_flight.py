"""Which runs are under way. Those that only seem to be, because their process was killed, are ended by `lost_runs`."""

import time
from collections.abc import Collection

import dagster as dg

from thumb_pipeline.defs.runs.lost_runs import end_lost_runs
from thumb_pipeline.defs.runs.words import CAPTURES_JOB, UNFINISHED, UNFINISHED_BACKFILLS
from thumb_pipeline.stages.library.library import Library


def attending_for_s(instance: dg.DagsterInstance, library: Library) -> dict[str, float]:
    """The runs that attend to new captures, or are about to, and for how long; none started yet is 0 s old.

    Nor is one that started in the future, by a clock that was set back since: it ends by itself, by another clock.
    Runs of any job whose process was killed are ended before.
    """
    end_lost_runs(library, instance)
    records = instance.get_run_records(dg.RunsFilter(statuses=UNFINISHED))
    return {
        record.dagster_run.run_id: max(0.0, time.time() - record.start_time) if record.start_time else 0.0
        for record in records
        if record.dagster_run.job_name == CAPTURES_JOB
    }


def unfinished_run_ids(instance: dg.DagsterInstance) -> Collection[str]:
    """Ids of all runs that wait or work, and of those that they repeat: orders of work bear the first one's."""
    runs = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
    return {name for run in runs for name in (run.run_id, run.root_run_id) if name}


def is_counted_on(instance: dg.DagsterInstance) -> bool:
    """Whether any run but those for new captures, or a backfill, is under way: it may count on any partition."""
    runs = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
    if any(run.job_name != CAPTURES_JOB for run in runs):
        return True
    return any(backfill.status.value in UNFINISHED_BACKFILLS for backfill in instance.get_backfills(limit=50))
