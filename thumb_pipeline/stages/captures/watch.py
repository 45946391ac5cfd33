"""Watches a library: which folders changed since they were last looked at, and which sources in them are not rendered.

An idle look costs one `stat` a timelapse; only a folder that changed is listed, and compared with the records. Missing
sources are ignored here: a whole `generate` handles them, with its brake. `domain.watching` decides when to list and
what to take first, `follow` renders.
"""

import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import polars as pl

from thumb_pipeline.datasets.slices import SliceDamaged
from thumb_pipeline.domain.watching import Sight, beginning_at, next_batch, restless_again_s, turn_of
from thumb_pipeline.stages.captures.due_retries import DueRetries
from thumb_pipeline.stages.captures.folder_state import Aside, Folder, Listed, Unsettled
from thumb_pipeline.stages.captures.folders import find_refused, find_unrecorded, look_at_folders
from thumb_pipeline.stages.captures.memory import FolderChanges, Mark, read_marks, write_marks
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.rendering import work_orders
from thumb_pipeline.storage.folders import ArchiveUnavailable, list_files, look_at

_TROUBLE_AGAIN_S = 60.0
_CLAIMED_AGAIN_S = 30.0
_LISTING_S = 3.0


@dataclass(slots=True)
class Watch:
    """A watcher's knowledge while it runs. One process at a time has one (`memory.watching`).

    Attributes:
        live_runs: gives the ids of the Dagster runs that are not over; sources that they will render are left to them.
        timelapses: keys on the disk at the last look.
        trouble: what could not be read at the last look or is still left alone, with the reason.
        is_behind: the last look ended before every changed folder was listed; the next one goes on.
    """

    live_runs: Callable[[], Collection[str]]
    timelapses: set[str] = field(default_factory=set)
    trouble: dict[str, str] = field(default_factory=dict)
    is_behind: bool = False
    _folders: dict[str, Folder] = field(default_factory=dict)
    _written: dict[str, Mark] = field(default_factory=dict)
    _goes_on_at: str = ""
    _retries: DueRetries = field(default_factory=DueRetries)

    @classmethod
    def begin(cls, library: Library, live_runs: Callable[[], Collection[str]]) -> "Watch":
        """A watch that knows what the last one remembered."""
        marks, now_s = read_marks(library), time.monotonic()
        folders = {key: Folder.remembered(mark, now_s) for key, mark in marks.items()}
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
        """Brings the backlog up to date; where many folders changed, a part at a time, so that rendering can begin.

        Raises:
            ArchiveUnavailable: the folder of all cameras cannot be listed.
        """
        now_s = time.monotonic()
        found = look_at_folders(library)
        self.timelapses = set(found.mtimes_ns)
        self.trouble = {**self._expire_set_aside(now_s), **found.trouble}
        claimed: pl.DataFrame | None = None
        self.is_behind = False
        for key, mtime_ns in beginning_at(self._goes_on_at, found.mtimes_ns.items()):
            folder = self._folders.setdefault(key, Folder())
            if mtime_ns is None or folder.is_done_with(mtime_ns, now_s):
                continue
            sight = folder.see(mtime_ns, now_s)
            turn = turn_of(sight, was_listed=folder.listed is not None, now_s=now_s)
            if turn.is_due and claimed is not None and time.monotonic() - now_s > _LISTING_S:
                self.is_behind, self._goes_on_at = True, key  # one folder at least was listed
                break
            if turn.is_due:
                claimed = work_orders.read_claimed(library, self.live_runs()) if claimed is None else claimed
                listed = Listed(mtime_ns=mtime_ns, is_final=turn.is_final, again_s=turn.again_s)
                self._list(library, key, listed, claimed, now_s)
        self._look_at_unsettled(library, now_s)
        self._queue_retries(library)
        self._remember(library)

    def take(self, limit: int) -> dict[str, list[str]]:
        """Takes up to `limit` sources out of the backlog; call `settle` when they are rendered."""
        batch = next_batch(self.backlog, limit)
        for key, names in batch.items():
            del self._folders[key].backlog[-len(names) :]
        return batch

    def settle(self, library: Library, batch: dict[str, list[str]], refused_in: Collection[str] = ()) -> None:
        """Notes that a batch was rendered: recorded sources are done, the rest is looked at again later.

        Args:
            library: the library.
            batch: source names by timelapse, as they were taken.
            refused_in: the timelapses in which some of them failed.
        """
        now_s = time.monotonic()
        for key, names in batch.items():
            self._settle_retries(key, names)
            unsettled = self._folders.setdefault(key, Folder()).unsettled
            try:
                found = look_at(library.frames(key), names)
                unrecorded = set(find_unrecorded(library, key, found, names)["source_name"])
                failed = find_refused(library, key, found) if key in refused_in else set()
            except (ArchiveUnavailable, SliceDamaged) as error:
                self.set_aside(key, str(error))
                continue
            before = {name: unsettled.pop(name, None) for name in names}
            for name, n_bytes, mtime_ns in zip(found.names, found.n_bytes, found.mtimes_ns, strict=True):
                is_refused, was = name in failed, before[name]
                if is_refused or name in unrecorded:
                    unsettled[name] = Unsettled(
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
        before = self._folders.get(key, Folder())
        aside = Aside(reason=reason, until_s=time.monotonic() + _TROUBLE_AGAIN_S)
        self._folders[key] = Folder(sight=before.sight, restless_from_s=before.restless_from_s, aside=aside)

    def changes(self) -> dict[str, FolderChanges]:
        """The backlog as a list for a run; folders whose listing is not final are left out, for the run to list."""
        found = {key: folder.changes() for key, folder in self._folders.items()}
        return {key: changes for key, changes in found.items() if changes is not None}

    def receive(self, changes: dict[str, FolderChanges]) -> None:
        """Begins with a list that another process made, instead of listing those folders once more."""
        for key, found in changes.items():
            folder = self._folders.setdefault(key, Folder())
            folder.mark, folder.backlog = None, list(found.names)
            folder.sight = Sight(mtime_ns=found.mtime_ns, first_seen_s=-math.inf, restless_from_s=math.inf)
            folder.listed = Listed(mtime_ns=found.mtime_ns, is_final=found.is_final, again_s=None)

    def _expire_set_aside(self, now_s: float) -> dict[str, str]:
        """Ends the time of those set aside long enough; returns the timelapses that still are, with the reason."""
        still_aside = {}
        for key, folder in self._folders.items():
            if folder.aside is not None and now_s >= folder.aside.until_s:
                folder.aside = None
            elif folder.aside is not None:
                still_aside[key] = folder.aside.reason
        return still_aside

    def _list(self, library: Library, key: str, listed: Listed, claimed: pl.DataFrame, now_s: float) -> None:
        """Lists one folder; sources that active orders will render are left to them, and looked at again later."""
        began_s = time.monotonic()
        try:
            new = find_unrecorded(library, key, list_files(library.frames(key)))
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
        """Queues refused sources that are due, at the old end of the backlog: newer ones are taken first."""
        now_s = time.time()
        for key in self._retries.timelapses(library, self.timelapses, now_s=now_s):
            folder = self._folders.setdefault(key, Folder())
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
        interval_s = library.settings.settle_interval_s
        for key, folder in self._folders.items():
            due = [name for name, source in folder.unsettled.items() if source.is_due(interval_s, now_s)]
            if not due:
                continue
            try:
                found = look_at(library.frames(key), due)
            except ArchiveUnavailable as error:
                self.trouble[key] = str(error)
                continue
            stats = zip(found.n_bytes, found.mtimes_ns, strict=True)
            folder.take_up(due, dict(zip(found.names, stats, strict=True)), now_s)

    def _remember(self, library: Library) -> None:
        """Writes down which folders hold nothing new, where that has changed."""
        for folder in self._folders.values():
            folder.remember()
        marks = {key: folder.mark for key, folder in self._folders.items() if folder.mark is not None}
        if marks != self._written:
            write_marks(library, marks)
            self._written = marks
