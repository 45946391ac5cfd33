"""Finds which runs are under way. `lost_runs` ends those that only seem to be, because their process was killed."""

import time
from collections.abc import Collection

import dagster as dg

from thumb_pipeline.defs.runs.lost_runs import end_lost_runs
from thumb_pipeline.defs.runs.words import CAPTURES_JOB, UNFINISHED, UNFINISHED_BACKFILLS
from thumb_pipeline.stages.library.library import Library


def attending_for_s(instance: dg.DagsterInstance, library: Library) -> dict[str, float]:
    """The unfinished runs for new captures, each with the seconds since it started; 0 if it has not started yet.

    The age is also 0 if the run started in the future, because the clock was set back since; such a run ends by
    itself, by the monotonic clock. Before that, runs of any job whose process was killed are ended.
    """
    end_lost_runs(library, instance)
    records = instance.get_run_records(dg.RunsFilter(statuses=UNFINISHED))
    return {
        record.dagster_run.run_id: max(0.0, time.time() - record.start_time) if record.start_time else 0.0
        for record in records
        if record.dagster_run.job_name == CAPTURES_JOB
    }


def unfinished_run_ids(instance: dg.DagsterInstance) -> Collection[str]:
    """Ids of all unfinished runs, and of the runs that they repeat, as orders of work bear the id of the first run."""
    runs = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
    return {name for run in runs for name in (run.run_id, run.root_run_id) if name}


def is_counted_on(instance: dg.DagsterInstance) -> bool:
    """Whether a backfill, or any run but those for new captures, is under way: it may need any partition."""
    runs = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
    if any(run.job_name != CAPTURES_JOB for run in runs):
        return True
    return any(backfill.status.value in UNFINISHED_BACKFILLS for backfill in instance.get_backfills(limit=50))
