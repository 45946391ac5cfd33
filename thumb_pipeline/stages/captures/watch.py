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


@dataclass(slots=True, kw_only=True)
class _Folder:
    """What is known of the sources of one timelapse.

    Attributes:
        backlog: sources to render, the newest last.
        retried: those of the backlog that failed before and are tried again.
        unsettled: sources that were not ready, or that failed a while ago, by name.
        sight: as what it is seen, and since when.
        restless_from_s: since when it does not come to rest; None while it does.
        listed: its last listing, until everything in it is done.
        mark: it holds nothing new as long as its mtime is this one.
        aside: why it is left alone for now.
    """

    backlog: list[str] = field(default_factory=list)
    retried: set[str] = field(default_factory=set)
    unsettled: dict[str, _Unsettled] = field(default_factory=dict)
    sight: Sight | None = None
    restless_from_s: float | None = None
    listed: _Listed | None = None
    mark: Mark | None = None
    aside: _Aside | None = None

    @classmethod
    def remembered(cls, mark: Mark, now_s: float) -> "_Folder":
        """As the last watcher left it."""
        unsettled = {name: _Unsettled(seen=None, seen_s=now_s) for name in mark.pending}
        for one in mark.refused:
            refused_at_s = min(one.refused_at_s, time.time())  # a clock that ran ahead may have noted it
            seen = (one.n_bytes, one.mtime_ns)
            unsettled[one.name] = _Unsettled(seen=seen, seen_s=-math.inf, refused_at_s=refused_at_s)
        return cls(unsettled=unsettled, mark=mark)

    def is_done_with(self, mtime_ns: int, now_s: float) -> bool:
        """Whether a folder with this mtime need not be listed now."""
        if self.mark is not None and self.mark.mtime_ns == mtime_ns:
            return True
        if self.listed is not None and self.listed.mtime_ns == mtime_ns:
            return self.listed.again_s is None or now_s < self.listed.again_s
        return self.aside is not None

    def see(self, mtime_ns: int, now_s: float) -> Sight:
        """Notes its mtime; with another one than before, its last listing is void."""
        if self.sight is None or self.sight.mtime_ns != mtime_ns:
            if self.restless_from_s is None:
                self.restless_from_s = now_s
            self.sight = Sight(mtime_ns=mtime_ns, first_seen_s=now_s, restless_from_s=self.restless_from_s)
            self.listed = None
        return self.sight

    def queue(self, listed: _Listed, waiting: list[str]) -> None:
        """Takes over a listing: what waits, but for what is looked at on its own; retries stay first."""
        again = set(waiting)
        for name, source in list(self.unsettled.items()):
            if source.is_queued or (source.refused_at_s is not None and name in again):
                del self.unsettled[name]  # the backlog it was in is replaced; what failed has become another file
        retried = [name for name in self.backlog if name in self.retried]
        known = {*self.unsettled, *retried}
        self.backlog = [*retried, *(name for name in waiting if name not in known)]
        self.listed = listed

    def remember(self) -> None:
        """Marks it where all sources of the last listing are recorded or known to be unsettled."""
        if self.listed is not None and self.listed.is_final and not self.backlog:
            self.mark, self.listed = Mark(mtime_ns=self.listed.mtime_ns), None
        if self.mark is not None and (self.unsettled or self.mark.pending or self.mark.refused):
            self.mark = _marked(self.mark.mtime_ns, self.unsettled)

    def changes(self) -> FolderChanges | None:
        """Its backlog for a run; None where there is none, or its listing is not final and the run's to make."""
        if not self.backlog:
            return None
        if self.listed is not None:
            mtime_ns = self.listed.mtime_ns if self.listed.is_final else None
        else:  # they were pending, and stand still now
            mtime_ns = self.mark.mtime_ns if self.mark is not None else None
        return None if mtime_ns is None else FolderChanges(mtime_ns=mtime_ns, is_final=True, names=self.backlog)


@dataclass(slots=True)
class Watch:
    """A watcher's knowledge while it runs. One process at a time has one (`memory.watching`).

    Attributes:
        live_runs: gives the ids of the Dagster runs that are not over; what they will render is theirs.
        timelapses: keys on the disk at the last look.
        trouble: what could not be read at the last look or is still left alone, with the reason.
        is_behind: the last look ended before everything that moved was listed; the next one goes on.
    """

    live_runs: Callable[[], Collection[str]]
    timelapses: set[str] = field(default_factory=set)
    trouble: dict[str, str] = field(default_factory=dict)
    is_behind: bool = False
    _folders: dict[str, _Folder] = field(default_factory=dict)
    _written: dict[str, Mark] = field(default_factory=dict)
    _goes_on_at: str = ""
    _retries: DueRetries = field(default_factory=DueRetries)

    @classmethod
    def begin(cls, library: Library, live_runs: Callable[[], Collection[str]]) -> "Watch":
        """A watch that knows what the last one remembered."""
        marks, now_s = read_marks(library), time.monotonic()
        folders = {key: _Folder.remembered(mark, now_s) for key, mark in marks.items()}
        return cls(live_runs, _folders=folders, _written=dict(marks))

    @property
    def backlog(self) -> dict[str, list[str]]:
        """Sources to render, by timelapse, the newest last."""
        return {key: folder.backlog for key, folder in self._folders.items() if folder.backlog}

    @property
    def n_waiting(self) -> int:
        """How many sources are in the backlog."""
        return sum(len(folder.backlog) for folder in self._folders.values())

    @property
    def n_unsettled(self) -> int:
        """How many sources were not ready and are looked at again; those that failed do not count."""
        unsettled = (source for folder in self._folders.values() for source in folder.unsettled.values())
        return sum(source.refused_at_s is None for source in unsettled)

    def look(self, library: Library) -> None:
        """Brings the backlog up to date; where much moved, a part of it at a time, so that rendering can begin.

        Raises:
            ArchiveUnavailable: the folder of all cameras cannot be listed.
        """
        now_s = time.monotonic()
        found = folders_on_disk(library)
        self.timelapses = set(found.mtimes_ns)
        self.trouble = {**self._left_alone(now_s), **found.trouble}
        claimed: pl.DataFrame | None = None
        self.is_behind = False
        for key, mtime_ns in beginning_at(self._goes_on_at, found.mtimes_ns.items()):
            folder = self._folders.setdefault(key, _Folder())
            if mtime_ns is None or folder.is_done_with(mtime_ns, now_s):
                continue
            sight = folder.see(mtime_ns, now_s)
            turn = turn_of(sight, was_listed=folder.listed is not None, now_s=now_s)
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
            del self._folders[key].backlog[-len(names) :]
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
            unsettled = self._folders.setdefault(key, _Folder()).unsettled
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
        self._retries.forget(key)
        before = self._folders.get(key, _Folder())
        aside = _Aside(reason=reason, until_s=time.monotonic() + _TROUBLE_AGAIN_S)
        self._folders[key] = _Folder(sight=before.sight, restless_from_s=before.restless_from_s, aside=aside)

    def changes(self) -> dict[str, FolderChanges]:
        """The backlog as a list for a run; folders whose listing is not final are left out, for it to list."""
        found = {key: folder.changes() for key, folder in self._folders.items()}
        return {key: changes for key, changes in found.items() if changes is not None}

    def receive(self, changes: dict[str, FolderChanges]) -> None:
        """Begins with a list that another process made, instead of listing those folders once more."""
        for key, found in changes.items():
            folder = self._folders.setdefault(key, _Folder())
            folder.mark, folder.backlog = None, list(found.names)
            folder.sight = Sight(mtime_ns=found.mtime_ns, first_seen_s=-math.inf, restless_from_s=math.inf)
            folder.listed = _Listed(mtime_ns=found.mtime_ns, is_final=found.is_final, again_s=None)

    def _left_alone(self, now_s: float) -> dict[str, str]:
        """The timelapses that are set aside, with the reason; the time of others is over."""
        found = {}
        for key, folder in self._folders.items():
            if folder.aside is not None and now_s >= folder.aside.until_s:
                folder.aside = None
            elif folder.aside is not None:
                found[key] = folder.aside.reason
        return found

    def _list(self, library: Library, key: str, listed: _Listed, claimed: pl.DataFrame, now_s: float) -> None:
        """Lists one folder; what others are about to render is theirs, and looked at again when they are done."""
        began_s = time.monotonic()
        try:
            new = unrecorded(library, key, list_files(library.frames(key)))
        except (ArchiveUnavailable, SliceDamaged) as error:
            self.set_aside(key, str(error))
            return
        folder = self._folders[key]
        folder.restless_from_s = None if listed.is_final else restless_again_s(began_s, time.monotonic())
        as_listed = ["timelapse", "source_name", "n_bytes", "mtime_ns"]
        free = new.join(
            claimed, left_on=as_listed, right_on=list(work_orders.CLAIMED), how="anti", maintain_order="left"
        )
        waiting = free["source_name"].to_list()
        if len(waiting) < new.height:
            listed.is_final, listed.again_s = False, now_s + _CLAIMED_AGAIN_S
        folder.queue(listed, waiting)

    def _queue_retries(self, library: Library) -> None:
        """Queues refused sources whose time has come, before all that is newer."""
        now_s = time.time()
        for key in self._retries.timelapses(library, self.timelapses, now_s=now_s):
            folder = self._folders.setdefault(key, _Folder())
            if folder.aside is not None:
                continue
            try:
                names = self._retries.take(library, key, now_s=now_s)
            except SliceDamaged as error:
                self.set_aside(key, str(error))
                continue
            new = [name for name in names if name not in folder.backlog]
            folder.retried.update(new)
            folder.backlog[:0] = new

    def _settle_retries(self, key: str, names: list[str]) -> None:
        retried = self._folders[key].retried
        if not retried.isdisjoint(names):
            retried.difference_update(names)
            self._retries.tried(key)

    def _look_at_unsettled(self, library: Library, now_s: float) -> None:
        for key, folder in self._folders.items():
            due = [name for name, source in folder.unsettled.items() if _is_due(source, library, now_s)]
            if not due:
                continue
            try:
                found = look_at(library.frames(key), due)
            except ArchiveUnavailable as error:
                self.trouble[key] = str(error)
                continue
            stats = zip(found.n_bytes, found.mtimes_ns, strict=True)
            _take_up(folder, due, dict(zip(found.names, stats, strict=True)), now_s)

    def _remember(self, library: Library) -> None:
        """Writes down which folders hold nothing new, where that has changed."""
        for folder in self._folders.values():
            folder.remember()
        marks = {key: folder.mark for key, folder in self._folders.items() if folder.mark is not None}
        if marks != self._written:
            write_marks(library, marks)
            self._written = marks


def _take_up(folder: _Folder, due: list[str], now: dict[str, tuple[int, int]], now_s: float) -> None:
    """Queues those that stood still since they were last seen."""
    for name in due:
        source, stat = folder.unsettled[name], now.get(name)
        if stat is None:
            del folder.unsettled[name]
        elif stat == source.seen and source.refused_at_s is not None:
            source.seen_s = now_s
            if time.time() - source.refused_at_s > _REFUSED_FOR_S:
                del folder.unsettled[name]
        elif stat == source.seen:
            source.tries, source.is_queued = source.tries + 1, True
            folder.backlog.append(name)
        else:
            folder.unsettled[name] = _Unsettled(seen=stat, seen_s=now_s)


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
