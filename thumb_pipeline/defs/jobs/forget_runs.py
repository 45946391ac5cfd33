"""`forget_runs`: deletes finished runs from Dagster's records once they are older than `runs.keep_days`.

When a run is deleted, so are its events, and with them the materializations of an asset's partitions. So a run stays,
however old, as long as anything that the UI shows now depends on it. Variants, datasets and journals are never touched:
their records do not depend on Dagster's.
"""

import contextlib
import os
import time
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from thumb_pipeline.defs.checks import library_checks
from thumb_pipeline.defs.resources import LibraryResource
from thumb_pipeline.defs.runs import lanes
from thumb_pipeline.defs.runs.failures import refusals_as_failures
from thumb_pipeline.defs.runs.words import BACKFILL_TAG, TIMELAPSES, UNFINISHED
from thumb_pipeline.domain.clocks import moment
from thumb_pipeline.domain.identifiers import is_run_id
from thumb_pipeline.domain.paths import inside
from thumb_pipeline.stages.library import clock, settings_in_force
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.rendering import work_orders
from thumb_pipeline.storage.removing import discard, remove_files

_FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_ENDED_BACKFILLS = {"COMPLETED", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED"}
_MOST_S = 900.0
"""Time limit in seconds. A first night with years of history stops here; the next night goes on."""

_RECORDS_AT_ONCE = 500


@dg.op(out=dg.Out(dict))
def forget_old_runs(context: dg.OpExecutionContext, library: LibraryResource) -> dict[str, int]:
    """Deletes runs that ended longer ago than runs.keep_days and on which nothing depends any more."""
    opened = library.open(context.instance)
    with refusals_as_failures():
        settings_in_force.refuse_trouble(opened)
    done = forget(context.instance, opened, now_s=time.time(), most_s=_MOST_S)
    if done["left"] and (reason := reason_to_wait(opened, now_s=time.time())) is not None:
        context.log.warning(reason)
    context.add_output_metadata({name: dg.MetadataValue.int(n) for name, n in done.items()})
    return done


def forget(instance: dg.DagsterInstance, library: Library, *, now_s: float, most_s: float) -> dict[str, int]:
    """Forgets old runs, the oldest first; returns how many were deleted, are still needed, and are left for later.

    All of them are left for later until the clock has been steady for `runs.keep_days`: to a clock that ran ahead,
    every run looks old.

    Args:
        instance: the Dagster instance that records the runs.
        library: its settings say how long runs are kept; its orders of work may still need some.
        now_s: seconds since 1970.
        most_s: time limit in seconds.
    """
    keep_days = library.settings.runs.keep_days
    if keep_days == 0:
        return {"forgotten": 0, "still_needed": 0, "left": 0}
    before_s = now_s - keep_days * 86_400
    old = _find_old_runs(instance, before_s)
    if old and reason_to_wait(library, now_s=now_s) is not None:
        return {"forgotten": 0, "still_needed": 0, "left": len(old)}
    needed = needed_runs(instance, library, before_s) if old else set()
    going = [run_id for run_id in old if run_id not in needed]
    deadline_s, n_forgotten = time.monotonic() + most_s, 0
    for run_id in going:
        if time.monotonic() > deadline_s:
            break
        _forget_run(instance, run_id)
        n_forgotten += 1
    return {"forgotten": n_forgotten, "still_needed": len(old) - len(going), "left": len(going) - n_forgotten}


def reason_to_wait(library: Library, *, now_s: float) -> str | None:
    """Why no run is forgotten yet, and until when; None if the clock has been steady for `runs.keep_days`."""
    ages, keep = clock.look(library.state).at(moment(now_s)), timedelta(days=library.settings.runs.keep_days)
    if ages.is_past(ages.steady_since, keep):
        return None
    return (
        f"no run is forgotten before {ages.steady_since + keep:%Y-%m-%d %H:%M} UTC: {ages.trouble}; if the clock is "
        "right, nothing needs to be done"
    )


def needed_runs(instance: dg.DagsterInstance, library: Library, before_s: float) -> set[str]:
    """Runs from before `before_s` that must stay: something that is shown now or still to be done depends on them."""
    needed = {order.id for order in work_orders.list_placed(library)}
    for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)):
        needed |= {run_id for run_id in (run.root_run_id, run.parent_run_id) if run_id}
    for backfill in instance.get_backfills():
        if backfill.status.value not in _ENDED_BACKFILLS:
            needed |= set(instance.get_run_ids(dg.RunsFilter(tags={BACKFILL_TAG: backfill.backfill_id})))
    checks = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(library_checks.check_keys))
    needed |= {record.run_id for record in checks.values()}
    partitions = set(instance.get_dynamic_partitions(TIMELAPSES))
    for asset in instance.get_asset_keys():
        needed |= set(_find_latest_runs(instance, asset, partitions, before_s))
    return needed


def _find_old_runs(instance: dg.DagsterInstance, before_s: float) -> list[str]:
    """Ids of finished runs that were last updated before `before_s`, the oldest first."""
    moment = dg.RunsFilter(statuses=_FINISHED, updated_before=datetime.fromtimestamp(before_s, UTC))
    return list(reversed(instance.get_run_ids(moment)))


def _find_latest_runs(
    instance: dg.DagsterInstance, asset: dg.AssetKey, partitions: Collection[str], before_s: float
) -> Iterator[str]:
    """Runs with the latest event of an asset, and of each of its partitions that still exist."""
    for kind, fetch in (
        (dg.DagsterEventType.ASSET_MATERIALIZATION, instance.fetch_materializations),
        (dg.DagsterEventType.ASSET_OBSERVATION, instance.fetch_observations),
    ):
        yield from (record.run_id for record in fetch(asset, limit=1).records)
        latest = instance.get_latest_storage_id_by_partition(asset, kind)
        ids = sorted(storage_id for partition, storage_id in latest.items() if partition in partitions)
        for some in _parts(ids):
            older = dg.AssetRecordsFilter(asset_key=asset, storage_ids=some, before_timestamp=before_s)
            yield from (record.run_id for record in fetch(older, limit=len(some)).records)
    storage = instance.event_log_storage
    failed = storage.get_latest_asset_partition_materialization_attempts_without_materializations(asset)
    yield from (run_id for run_id, _ in failed.values())


def _parts(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for first in range(0, len(ids), _RECORDS_AT_ONCE):
        yield ids[first : first + _RECORDS_AT_ONCE]


def _forget_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """Deletes a run with its events, and what Dagster leaves behind: its logs, its steps' values, its SQLite file.

    Run ids can be chosen freely by a client, so an id that does not have the usual form is never used as a file name.
    """
    instance.delete_run(run_id)
    if not is_run_id(run_id):
        return
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    values = inside(os.path.realpath(instance.storage_directory()), run_id)
    for folder, _, _ in os.walk(values, topdown=False):
        with contextlib.suppress(OSError):
            remove_files(folder, lambda _: True)
    path_for_shard = getattr(instance.event_log_storage, "path_for_shard", None)
    if path_for_shard is not None:
        for suffix in ("", "-wal", "-shm"):
            discard(f"{path_for_shard(run_id)}{suffix}")


@dg.graph(name="forget_runs")
def forget_runs_graph() -> None:
    """Deletes from Dagster's records the finished runs that are older than `runs.keep_days`; no file of the library."""
    forget_old_runs()


forget_runs = forget_runs_graph.to_job(executor_def=dg.in_process_executor, tags=lanes.MAINTENANCE)
