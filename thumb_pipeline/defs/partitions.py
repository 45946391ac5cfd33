"""The partitions: one for each timelapse, with keys like `camera-1/timelapse-2`.

A partition is added when its timelapse appears. It is deleted when nothing is left of the timelapse, as decided by
`stages.removal.retire_timelapses`, and no run depends on it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

import dagster as dg

from thumb_pipeline.defs.runs.failures import refusal
from thumb_pipeline.defs.runs.in_flight import is_counted_on
from thumb_pipeline.defs.runs.words import (
    CAPTURES_JOB,
    PARTITION_RANGE_TAGS,
    PARTITION_TAG,
    TIMELAPSES,
    UNFINISHED,
    UNFINISHED_BACKFILLS,
)
from thumb_pipeline.domain.layout import is_key
from thumb_pipeline.domain.plain_text import plain
from thumb_pipeline.domain.watching import InFlight, Known
from thumb_pipeline.stages.library.errors import REFUSALS
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.removal.retire_timelapses import find_gone_timelapses, find_with_sources, forget

timelapse_partitions = dg.DynamicPartitionsDefinition(name=TIMELAPSES)

_RECENT_BACKFILLS = 100
_MOST_NAMED = 10


def timelapses_of(context: dg.OpExecutionContext | dg.AssetExecutionContext) -> list[str]:
    """The timelapses of a run, in the order of its partitions.

    Anybody can add partitions to Dagster, so keys that no timelapse can have are skipped, with a warning.

    Raises:
        dagster.Failure: no partition of the run is a timelapse.
    """
    keys = list(context.partition_keys)
    strange = [plain(key, most=100) for key in keys if not is_key(key)]
    if strange:
        message = f"no timelapse has such a key: {', '.join(strange[:_MOST_NAMED])}; the sensor deletes such partitions"
        if len(strange) == len(keys):
            raise refusal(message)
        context.log.warning(message)
    return [key for key in keys if is_key(key)]


def register_timelapses(instance: dg.DagsterInstance, keys: Collection[str]) -> list[str]:
    """Adds a partition for each key that has none yet; returns these keys."""
    known = set(instance.get_dynamic_partitions(TIMELAPSES))
    new = sorted(set(keys) - known)
    if new:
        instance.add_dynamic_partitions(TIMELAPSES, new)
    return new


def retire_timelapses(
    library: Library, instance: dg.DagsterInstance, run_id: str, log: dg.DagsterLogManager
) -> list[str]:
    """Deletes the partitions and the records of timelapses of which nothing is left; returns their keys.

    Runs call this after their own work, and it never makes them fail: what cannot be decided now is left to a later
    run.

    Args:
        library: the library.
        instance: the Dagster instance with its partitions.
        run_id: the id of the calling run.
        log: the log of the calling run.
    """
    partitions = instance.get_dynamic_partitions(TIMELAPSES)
    try:
        gone = [*find_gone_timelapses(library, partitions), *(key for key in partitions if not is_key(key))]
        if not gone:
            return []
        others = [
            run.tags
            for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
            if run.run_id != run_id and run.job_name != CAPTURES_JOB  # that job needs no partition
        ]
        backfills = instance.get_backfills(limit=_RECENT_BACKFILLS)
        is_backfilled = any(backfill.status.value in UNFINISHED_BACKFILLS for backfill in backfills)
    except REFUSALS as refused:
        log.warning(f"no timelapse was retired: {refused}")
        return []
    going = retirable(gone, partitions, others, is_backfilled=is_backfilled)
    retired = [key for key in going if _retire(library, instance, key, log)]
    if retired:
        log.info(f"retired, as nothing is left of them: {', '.join(plain(key, most=100) for key in retired)}")
    return retired


def _retire(library: Library, instance: dg.DagsterInstance, key: str, log: dg.DagsterLogManager) -> bool:
    """Drops the records of a timelapse and deletes its partition; a key of no timelapse has no records."""
    try:
        if is_key(key) and not forget(library, key):
            return False
    except REFUSALS as refused:
        log.warning(f"{key} was not retired: {refused}")
        return False
    instance.delete_dynamic_partition(TIMELAPSES, key)
    return True


def retirable(
    gone: Collection[str], partitions: Sequence[str], runs: Iterable[Mapping[str, str]], *, is_backfilled: bool
) -> list[str]:
    """Those timelapses that no other run depends on.

    Args:
        gone: timelapses of which nothing is left.
        partitions: all keys, in Dagster's order; partition ranges are positions in it.
        runs: the tags of the other unfinished runs; a run that names no partition may work on any of them.
        is_backfilled: whether a backfill is under way; it may still request any key, so none is retired.
    """
    wanted: set[str] = set()
    for tags in runs:
        first, last = (tags.get(name) for name in PARTITION_RANGE_TAGS)
        if PARTITION_TAG in tags:
            wanted.add(tags[PARTITION_TAG])
        elif first in partitions and last in partitions:
            wanted.update(partitions[partitions.index(first) : partitions.index(last) + 1])
        else:
            return []
    return [] if is_backfilled else sorted(set(gone) - wanted)


class PartitionsOfTick:
    """The partitions at the start of a sensor tick.

    Which of them are forgotten is read from the inventory only when folders appear or vanish.
    """

    def __init__(self, instance: dg.DagsterInstance, library: Library) -> None:
        self._instance = instance
        self._library = library
        self._keys = frozenset(instance.get_dynamic_partitions(TIMELAPSES))
        self._strange = frozenset(key for key in self._keys if not is_key(key))
        self._gone = frozenset[str]()
        self._forgotten = frozenset[str]()

    def known(self, timelapses: AbstractSet[str], *, is_sure: bool) -> Known:
        """All partitions, and those that are forgotten; while a folder cannot be read, no timelapse is.

        A partition whose key no timelapse can have was added by hand, and always counts as forgotten.
        """
        gone = self._keys - timelapses
        if gone != self._gone:
            self._gone = gone
            self._forgotten = gone - find_with_sources(self._library, gone - self._strange)
        return Known(partitions=self._keys, forgotten=self._forgotten if is_sure else self._strange)

    def in_flight(self, known: Known) -> InFlight:
        """The partitions that may be in use: all of them while any run but those for new captures is unfinished.

        Dagster is asked only if some partition may be deleted.
        """
        is_any = bool(known.forgotten) and is_counted_on(self._instance)
        return InFlight(timelapses=self._keys if is_any else frozenset())
