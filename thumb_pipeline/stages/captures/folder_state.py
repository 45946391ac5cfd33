"""What a watcher knows of the frames folder of one timelapse: its backlog, its listing, what is not ready in it.

Values and rules only: `watch` looks at the disk and at the records.
"""

import math
import time
from dataclasses import dataclass, field

from thumb_pipeline.domain.watching import Sight
from thumb_pipeline.stages.captures.memory import FolderChanges, Mark, RefusedSource

_LONGEST_PATIENCE_S = 300.0
_REFUSED_FOR_S = 3600.0


@dataclass(slots=True, kw_only=True)
class Unsettled:
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

    def is_due(self, settle_interval_s: float, now_s: float) -> bool:
        """Whether to look at it now: at longer and longer intervals while it stays unchanged, and after it failed."""
        patience_s = settle_interval_s * 2 ** min(self.tries, 16)
        if self.refused_at_s is not None:
            patience_s = max(patience_s, (time.time() - self.refused_at_s) / 2)
        return not self.is_queued and now_s - self.seen_s >= min(max(patience_s, 0.05), _LONGEST_PATIENCE_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """A timelapse that is left alone for now, why, and until when (monotonic)."""

    reason: str
    until_s: float


@dataclass(slots=True, kw_only=True)
class Listed:
    """The listing of a folder that is not remembered yet."""

    mtime_ns: int
    is_final: bool
    again_s: float | None


@dataclass(slots=True, kw_only=True)
class Folder:
    """What is known of the sources of one timelapse.

    Attributes:
        backlog: sources to render, the newest last.
        retried: sources in the backlog that failed before and are tried again.
        unsettled: sources that were not ready, or that failed a while ago, by name.
        sight: its mtime when last seen, and since when it is that.
        restless_from_s: since when it keeps changing; None while it does not.
        listed: its last listing, until everything in it is done.
        mark: the mtime under which it holds nothing new.
        aside: why it is left alone for now.
    """

    backlog: list[str] = field(default_factory=list)
    retried: set[str] = field(default_factory=set)
    unsettled: dict[str, Unsettled] = field(default_factory=dict)
    sight: Sight | None = None
    restless_from_s: float | None = None
    listed: Listed | None = None
    mark: Mark | None = None
    aside: Aside | None = None

    @classmethod
    def remembered(cls, mark: Mark, now_s: float) -> "Folder":
        """As the last watcher left it."""
        unsettled = {name: Unsettled(seen=None, seen_s=now_s) for name in mark.pending}
        for one in mark.refused:
            refused_at_s = min(one.refused_at_s, time.time())  # a clock that ran ahead may have noted it
            seen = (one.n_bytes, one.mtime_ns)
            unsettled[one.name] = Unsettled(seen=seen, seen_s=-math.inf, refused_at_s=refused_at_s)
        return cls(unsettled=unsettled, mark=mark)

    def is_done_with(self, mtime_ns: int, now_s: float) -> bool:
        """Whether a folder with this mtime need not be listed now."""
        if self.mark is not None and self.mark.mtime_ns == mtime_ns:
            return True
        if self.listed is not None and self.listed.mtime_ns == mtime_ns:
            return self.listed.again_s is None or now_s < self.listed.again_s
        return self.aside is not None

    def see(self, mtime_ns: int, now_s: float) -> Sight:
        """Notes its mtime; when that has changed, its last listing is void."""
        if self.sight is None or self.sight.mtime_ns != mtime_ns:
            if self.restless_from_s is None:
                self.restless_from_s = now_s
            self.sight = Sight(mtime_ns=mtime_ns, first_seen_s=now_s, restless_from_s=self.restless_from_s)
            self.listed = None
        return self.sight

    def queue(self, listed: Listed, waiting: list[str]) -> None:
        """Replaces the backlog by the sources of a listing, but for those looked at alone; retries stay in it."""
        again = set(waiting)
        for name, source in list(self.unsettled.items()):
            if source.is_queued or (source.refused_at_s is not None and name in again):
                del self.unsettled[name]  # its backlog is replaced; or it failed, and is another file now
        retried = [name for name in self.backlog if name in self.retried]
        known = {*self.unsettled, *retried}
        self.backlog = [*retried, *(name for name in waiting if name not in known)]
        self.listed = listed

    def take_up(self, due: list[str], now: dict[str, tuple[int, int]], now_s: float) -> None:
        """Queues sources that have not changed since they were last seen; failed ones are dropped after an hour.

        Args:
            due: unsettled sources that were looked at.
            now: size and mtime of those that are there.
            now_s: monotonic.
        """
        for name in due:
            source, stat = self.unsettled[name], now.get(name)
            if stat is None:
                del self.unsettled[name]
            elif stat == source.seen and source.refused_at_s is not None:
                source.seen_s = now_s
                if time.time() - source.refused_at_s > _REFUSED_FOR_S:
                    del self.unsettled[name]
            elif stat == source.seen:
                source.tries, source.is_queued = source.tries + 1, True
                self.backlog.append(name)
            else:
                self.unsettled[name] = Unsettled(seen=stat, seen_s=now_s)

    def remember(self) -> None:
        """Marks the folder once all sources of its last listing are recorded or known to be unsettled."""
        if self.listed is not None and self.listed.is_final and not self.backlog:
            self.mark, self.listed = Mark(mtime_ns=self.listed.mtime_ns), None
        if self.mark is not None and (self.unsettled or self.mark.pending or self.mark.refused):
            self.mark = _marked(self.mark.mtime_ns, self.unsettled)

    def changes(self) -> FolderChanges | None:
        """Its backlog for a run; None where it is empty, or its listing is not final, so that the run makes its own."""
        if not self.backlog:
            return None
        if self.listed is not None:
            mtime_ns = self.listed.mtime_ns if self.listed.is_final else None
        else:  # they were pending, and have stopped changing
            mtime_ns = self.mark.mtime_ns if self.mark is not None else None
        return None if mtime_ns is None else FolderChanges(mtime_ns=mtime_ns, is_final=True, names=self.backlog)


def _marked(mtime_ns: int, unsettled: dict[str, Unsettled]) -> Mark:
    refused = [
        RefusedSource(name=name, n_bytes=source.seen[0], mtime_ns=source.seen[1], refused_at_s=source.refused_at_s)
        for name, source in sorted(unsettled.items())
        if source.refused_at_s is not None and source.seen is not None
    ]
    known = {source.name for source in refused}
    return Mark(mtime_ns=mtime_ns, pending=tuple(sorted(set(unsettled) - known)), refused=tuple(refused))
