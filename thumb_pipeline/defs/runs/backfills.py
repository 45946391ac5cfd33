"""Runs that are part of a backfill: they enter their lane, and do not repeat finished work.

`batches` says how a backfill is cut into runs. Nothing is planned or rendered here.
"""

from collections.abc import Collection
from dataclasses import dataclass

import dagster as dg

from thumb_pipeline.defs.runs.lanes import LANE_TAG, REGENERATION
from thumb_pipeline.defs.runs.words import BACKFILL_TAG, ROOT_BACKFILL_TAG
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.planning.plan import Plan
from thumb_pipeline.stages.rendering.work_left import find_left


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """Timelapses whose regeneration was begun earlier and not finished, and the runs that began it."""

    keys: Collection[str]
    run_ids: Collection[str]

    def left_of(self, library: Library, plan: Plan) -> Plan:
        """The plan without the variants that those runs made."""
        return find_left(library, plan, self.keys, self.run_ids)


def enter_lane(context: dg.OpExecutionContext | dg.AssetExecutionContext) -> None:
    """Puts a run that the UI started into the lane of regeneration, where the queue counts it and `status` names it.

    Assets cannot give tags to the runs that materialize them, so such a run enters its lane when it starts. Until then
    the queue holds it back by its pool, and by the instance file's limit for backfills.
    """
    if LANE_TAG not in context.run.tags:
        context.instance.add_run_tags(context.run.run_id, {LANE_TAG: REGENERATION[LANE_TAG]})


def read_resumed(context: dg.OpExecutionContext, keys: Collection[str]) -> Resumed | None:
    """Reads what a run of a repeated backfill, or a repeated run of a backfill, goes on with; None for any other run.

    A timelapse that an earlier run of the same backfill materialized is finished. If this run has it all the same, it
    was requested once more and is begun again.
    """
    run_ids = _find_earlier_runs(context)
    if not run_ids:
        return None
    thumbnails = dg.AssetRecordsFilter(asset_key=dg.AssetKey("thumbnails"), asset_partitions=list(keys))
    records = context.instance.fetch_materializations(thumbnails, limit=_most_records(keys)).records
    finished = {record.partition_key for record in records if record.run_id in run_ids}
    return Resumed(keys=set(keys) - finished, run_ids=run_ids)


def _find_earlier_runs(context: dg.OpExecutionContext) -> set[str]:
    """The earlier runs of the backfill that this run repeats a part of, and of its repetitions; else none."""
    tags = dict(context.run.tags)
    if context.run.root_run_id:
        root = context.instance.get_run_by_id(context.run.root_run_id)
        tags = {**(root.tags if root else {}), **tags}
    elif ROOT_BACKFILL_TAG not in tags:
        return set()
    backfill_id = tags.get(ROOT_BACKFILL_TAG) or tags.get(BACKFILL_TAG)
    if not backfill_id:
        return set()
    of_it = [dg.RunsFilter(tags={tag: backfill_id}) for tag in (BACKFILL_TAG, ROOT_BACKFILL_TAG)]
    return {run_id for runs in of_it for run_id in context.instance.get_run_ids(runs)} - {context.run.run_id}


def _most_records(keys: Collection[str]) -> int:
    """Enough records to include each timelapse, unless some were materialized many times since."""
    return 4 * len(keys)
