"""Watches a library: which folders moved since they were last looked at, and which sources in them are not rendered.

An idle look costs one `stat` a timelapse; only a folder that moved is listed, and compared with what is recorded. What
a listing lacks means nothing here: vanished sources are for a whole `generate`, with its brake. When to list and what
to take first is decided in `domain.watching`, rendering is in `follow`.
"""

import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import polars as pl

from thumb_pipeline.datasets.slices import SliceDamaged
from thumb_pipeline.domain.watching import Sight, beginning_at, next_batch, restless_again_s, turn_of
from thumb_pipeline.stages.captures.due_retries import DueRetries
from thumb_pipeline.stages.captures.folders import folders_on_disk, refused, unrecorded
from thumb_pipeline.stages.captures.memory import FolderChanges, Mark, RefusedSource, read_marks, write_marks
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.rendering import work_orders
from thumb_pipeline.storage.folders import ArchiveUnavailable, list_files, look_at

_TROUBLE_AGAIN_S = 60.0
_CLAIMED_AGAIN_S = 30.0
_LISTING_S = 3.0
_LONGEST_PATIENCE_S = 300.0
_REFUSED_FOR_S = 3600.0


@dataclass(slots=True, kw_only=True)
class _Unsettled:
    """A source that was not ready: as it was when last seen, and when.

    Attributes:
        tries: looks since it changed.
        is_queued: it waits in the backlog.
        refused_at_s: when it was rendered and failed, in seconds since 1970. Its writer may only have paused, and a
            folder's mtime does not tell when it goes on: such a source is looked at for an hour.
    """

    seen: tuple[int, int] | None
    seen_s: float
    tries: int = 0
    is_queued: bool = False
    refused_at_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Aside:
    """A timelapse that is left alone for now, why, and until when (monotonic)."""

    reason: str
    until_s: float


@dataclass(slots=True, kw_only=True)
class _Listed:
    """A folder that was listed and is not remembered yet."""

    mtime_ns: int
    is_final: bool
    again_s: float | None


@dataclass(slots=True)
class Watch:
    """A watcher's knowledge while it runs. One process at a time has one (`memory.watching`).

    Attributes:
        live_runs: gives the ids of the Dagster runs that are not over; what they will render is theirs.
        backlog: sources to render, by timelapse, the newest last.
        timelapses: keys on the disk at the last look.
        trouble: what could not be read at the last look or is still left alone, with the reason.
        is_behind: the last look ended before everything that moved was listed; the next one goes on.
    """

    live_runs: Callable[[], Collection[str]]
    backlog: dict[str, list[str]] = field(default_factory=dict)
    timelapses: set[str] = field(default_factory=set)
    trouble: dict[str, str] = field(default_factory=dict)
    is_behind: bool = False
    _marks: dict[str, Mark] = field(default_factory=dict)
    _written: dict[str, Mark] = field(default_factory=dict)
    _sights: dict[str, Sight] = field(default_factory=dict)
    _listed: dict[str, _Listed] = field(default_factory=dict)
    _unsettled: dict[str, dict[str, _Unsettled]] = field(default_factory=dict)
    _aside: dict[str, _Aside] = field(default_factory=dict)
    _restless_from_s: dict[str, float] = field(default_factory=dict)
    _goes_on_at: str = ""
    _retries: DueRetries = field(default_factory=DueRetries)
    _retried: dict[str, set[str]] = field(default_factory=dict)

    @classmethod
    def begin(cls, library: Library, live_runs: Callable[[], Collection[str]]) -> "Watch":
        """A watch that knows what the last one remembered."""
        marks = read_marks(library)
        watch = cls(live_runs, _marks=dict(marks), _written=dict(marks))
        now_s = time.monotonic()
        for key, mark in marks.items():
            unsettled = {name: _Unsettled(seen=None, seen_s=now_s) for name in mark.pending}
            for one in mark.refused:
                seen = (one.n_bytes, one.mtime_ns)
                refused_at_s = min(one.refused_at_s, time.time())  # a clock that ran ahead may have noted it
                unsettled[one.name] = _Unsettled(seen=seen, seen_s=-math.inf, refused_at_s=refused_at_s)
            if unsettled:
                watch._unsettled[key] = unsettled
        return watch

    @property
    def n_waiting(self) -> int:
        """How many sources are in the backlog."""
        return sum(map(len, self.backlog.values()))

    @property
    def n_unsettled(self) -> int:
        """How many sources were not ready and are looked at again; those that failed do not count."""
        return sum(source.refused_at_s is None for sources in self._unsettled.values() for source in sources.values())

    def look(self, library: Library) -> None:
        """Brings the backlog up to date; where much moved, a part of it at a time, so that rendering can begin.

        Raises:
            ArchiveUnavailable: the folder of all cameras cannot be listed.
        """
        now_s = time.monotonic()
        found = folders_on_disk(library)
        self._aside = {key: aside for key, aside in self._aside.items() if now_s < aside.until_s}
        self.timelapses = set(found.mtimes_ns)
        self.trouble = {**{key: aside.reason for key, aside in self._aside.items()}, **found.trouble}
        claimed: pl.DataFrame | None = None
        self.is_behind = False
        for key, mtime_ns in beginning_at(self._goes_on_at, found.mtimes_ns.items()):
            if mtime_ns is None or self._is_remembered(key, mtime_ns, now_s):
                continue
            turn = turn_of(self._sight(key, mtime_ns, now_s), was_listed=key in self._listed, now_s=now_s)
            if turn.is_due and claimed is not None and time.monotonic() - now_s > _LISTING_S:
                self.is_behind, self._goes_on_at = True, key  # one folder at least was listed
                break
            if turn.is_due:
                claimed = work_orders.claimed(library, self.live_runs()) if claimed is None else claimed
                listed = _Listed(mtime_ns=mtime_ns, is_final=turn.is_final, again_s=turn.again_s)
                self._list(library, key, listed, claimed, now_s)
        self._look_at_unsettled(library, now_s)
        self._queue_retries(library)
        self._remember(library)

    def take(self, limit: int) -> dict[str, list[str]]:
        """Takes up to `limit` sources out of the backlog; `settle` must be told when they are rendered."""
        batch = next_batch(self.backlog, limit)
        for key, names in batch.items():
            del self.backlog[key][-len(names) :]
        return batch

    def settle(self, library: Library, batch: dict[str, list[str]], refused_in: Collection[str] = ()) -> None:
        """Says that a batch was rendered: what is recorded is done, the rest is looked at again later.

        Args:
            library: the library.
            batch: source names by timelapse, as they were taken.
            refused_in: the timelapses in which some of them failed.
        """
        now_s = time.monotonic()
        for key, names in batch.items():
            self._settle_retries(key, names)
            unsettled = self._unsettled.setdefault(key, {})
            try:
                found = look_at(library.frames(key), names)
                left = set(unrecorded(library, key, found, names)["source_name"])
                failed = refused(library, key, found) if key in refused_in else set()
            except (ArchiveUnavailable, SliceDamaged) as error:
                self.set_aside(key, str(error))
                continue
            before = {name: unsettled.pop(name, None) for name in names}
            for name, n_bytes, mtime_ns in zip(found.names, found.n_bytes, found.mtimes_ns, strict=True):
                is_refused, was = name in failed, before[name]
                if is_refused or name in left:
                    unsettled[name] = _Unsettled(
                        seen=(n_bytes, mtime_ns),
                        seen_s=now_s,
                        tries=was.tries if was else 0,
                        refused_at_s=time.time() if is_refused else None,
                    )
        self._remember(library)

    def set_aside(self, key: str, reason: str) -> None:
        """Leaves a timelapse alone for a minute; then its folder is listed again."""
        self.trouble[key] = reason
        self.backlog.pop(key, None)
        self._unsettled.pop(key, None)
        self._marks.pop(key, None)
        self._listed.pop(key, None)
        self._retried.pop(key, None)
        self._retries.forget(key)
        self._aside[key] = _Aside(reason=reason, until_s=time.monotonic() + _TROUBLE_AGAIN_S)

    def changes(self) -> dict[str, FolderChanges]:
        """The backlog as a list for a run; folders whose listing is not final are left out, for it to list."""
        found = {}
        for key, names in self.backlog.items():
            listed, mark = self._listed.get(key), self._marks.get(key)
            if names and listed is not None and listed.is_final:
                found[key] = FolderChanges(mtime_ns=listed.mtime_ns, is_final=True, names=names)
            elif names and listed is None and mark is not None:  # they were pending, and stand still now
                found[key] = FolderChanges(mtime_ns=mark.mtime_ns, is_final=True, names=names)
        return found

    def receive(self, changes: dict[str, FolderChanges]) -> None:
        """Begins with a list that another process made, instead of listing those folders once more."""
        for key, found in changes.items():
            self._marks.pop(key, None)
            self._sights[key] = Sight(mtime_ns=found.mtime_ns, first_seen_s=-math.inf, restless_from_s=math.inf)
            self._listed[key] = _Listed(mtime_ns=found.mtime_ns, is_final=found.is_final, again_s=None)
            self.backlog[key] = list(found.names)

    def _is_remembered(self, key: str, mtime_ns: int, now_s: float) -> bool:
        mark, listed = self._marks.get(key), self._listed.get(key)
        if mark is not None and mark.mtime_ns == mtime_ns:
            return True
        if listed is not None and listed.mtime_ns == mtime_ns:
            return listed.again_s is None or now_s < listed.again_s
        return key in self._aside

    def _sight(self, key: str, mtime_ns: int, now_s: float) -> Sight:
        sight = self._sights.get(key)
        if sight is None or sight.mtime_ns != mtime_ns:
            restless_from_s = self._restless_from_s.setdefault(key, now_s)
            sight = Sight(mtime_ns=mtime_ns, first_seen_s=now_s, restless_from_s=restless_from_s)
            self._sights[key] = sight
            self._listed.pop(key, None)
        return sight

    def _list(self, library: Library, key: str, listed: _Listed, claimed: pl.DataFrame, now_s: float) -> None:
        """Lists one folder; what others are about to render is theirs, and looked at again when they are done."""
        began_s = time.monotonic()
        try:
            new = unrecorded(library, key, list_files(library.frames(key)))
        except (ArchiveUnavailable, SliceDamaged) as error:
            self.set_aside(key, str(error))
            return
        if listed.is_final:
            self._restless_from_s.pop(key, None)
        else:
            self._restless_from_s[key] = restless_again_s(began_s, time.monotonic())
        as_listed = ["timelapse", "source_name", "n_bytes", "mtime_ns"]
        free = new.join(
            claimed, left_on=as_listed, right_on=list(work_orders.CLAIMED), how="anti", maintain_order="left"
        )
        waiting = free["source_name"].to_list()
        if len(waiting) < new.height:
            listed.is_final, listed.again_s = False, now_s + _CLAIMED_AGAIN_S
        known, again = self._unsettled.get(key, {}), set(waiting)
        for name, source in list(known.items()):
            if source.is_queued or (source.refused_at_s is not None and name in again):
                del known[name]  # the backlog it was queued in is replaced; what failed has become another file
        retried = [name for name in self.backlog.get(key, ()) if name in self._retried.get(key, ())]
        self.backlog[key] = [*retried, *(name for name in waiting if name not in known and name not in retried)]
        self._listed[key] = listed

    def _queue_retries(self, library: Library) -> None:
        """Queues refused sources whose time has come, before all that is newer."""
        now_s = time.time()
        for key in self._retries.timelapses(library, self.timelapses, now_s=now_s):
            if key in self._aside:
                continue
            try:
                names = self._retries.take(library, key, now_s=now_s)
            except SliceDamaged as error:
                self.set_aside(key, str(error))
                continue
            waiting = self.backlog.setdefault(key, [])
            new = [name for name in names if name not in waiting]
            self._retried.setdefault(key, set()).update(new)
            waiting[:0] = new

    def _settle_retries(self, key: str, names: list[str]) -> None:
        retried = self._retried.get(key, set())
        if not retried.isdisjoint(names):
            retried.difference_update(names)
            self._retries.tried(key)

    def _look_at_unsettled(self, library: Library, now_s: float) -> None:
        for key, sources in self._unsettled.items():
            due = [name for name, source in sources.items() if _is_due(source, library, now_s)]
            if not due:
                continue
            try:
                found = look_at(library.frames(key), due)
            except ArchiveUnavailable as error:
                self.trouble[key] = str(error)
                continue
            stats = zip(found.n_bytes, found.mtimes_ns, strict=True)
            self._take_up(key, due, dict(zip(found.names, stats, strict=True)), now_s)

    def _take_up(self, key: str, due: list[str], now: dict[str, tuple[int, int]], now_s: float) -> None:
        """Queues those that stood still since they were last seen."""
        sources = self._unsettled[key]
        for name in due:
            source, stat = sources[name], now.get(name)
            if stat is None:
                del sources[name]
            elif stat == source.seen and source.refused_at_s is not None:
                source.seen_s = now_s
                if time.time() - source.refused_at_s > _REFUSED_FOR_S:
                    del sources[name]
            elif stat == source.seen:
                source.tries, source.is_queued = source.tries + 1, True
                self.backlog.setdefault(key, []).append(name)
            else:
                sources[name] = _Unsettled(seen=stat, seen_s=now_s)

    def _remember(self, library: Library) -> None:
        """Marks folders whose sources are all recorded or known to be unsettled, and writes that down."""
        for key, listed in list(self._listed.items()):
            if listed.is_final and not self.backlog.get(key):
                del self._listed[key]
                self._marks[key] = Mark(mtime_ns=listed.mtime_ns)
        for key, mark in self._marks.items():
            unsettled = self._unsettled.get(key)
            if unsettled or mark.pending or mark.refused:
                self._marks[key] = _marked(mark.mtime_ns, unsettled or {})
        if self._marks != self._written:
            write_marks(library, self._marks)
            self._written = dict(self._marks)


def _marked(mtime_ns: int, unsettled: dict[str, _Unsettled]) -> Mark:
    refused = [
        RefusedSource(name=name, n_bytes=source.seen[0], mtime_ns=source.seen[1], refused_at_s=source.refused_at_s)
        for name, source in sorted(unsettled.items())
        if source.refused_at_s is not None and source.seen is not None
    ]
    known = {source.name for source in refused}
    return Mark(mtime_ns=mtime_ns, pending=tuple(sorted(set(unsettled) - known)), refused=tuple(refused))


def _is_due(source: _Unsettled, library: Library, now_s: float) -> bool:
    """What keeps still and yet is not rendered is tried less and less often; so is a look at what failed."""
    patience_s = library.settings.settle_interval_s * 2 ** min(source.tries, 16)
    if source.refused_at_s is not None:
        patience_s = max(patience_s, (time.time() - source.refused_at_s) / 2)
    return not source.is_queued and now_s - source.seen_s >= min(max(patience_s, 0.05), _LONGEST_PATIENCE_S)
