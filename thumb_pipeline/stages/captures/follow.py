"""Renders new captures as they come, in a process that stays for a while: a watcher's backlog, in small batches.

A batch is planned by name, so it costs by its sources and not by the archive, and it is short, so that the newest frame
of any timelapse never waits long behind an import of thousands. `watch` finds what is new.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

import polars as pl

from thumb_pipeline.domain.layout import SETTINGS_NAME
from thumb_pipeline.stages.captures.watch import Watch
from thumb_pipeline.stages.inventory.selection import Selection
from thumb_pipeline.stages.library import settings_in_force
from thumb_pipeline.stages.library.library import Lease, Library
from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline.stages.planning.plan import Plan
from thumb_pipeline.stages.planning.plan_apart import plan_apart
from thumb_pipeline.stages.rendering import accept_plan, work_orders
from thumb_pipeline.stages.rendering.chunk import ChunkResult
from thumb_pipeline.stages.rendering.latest_only import render_rows
from thumb_pipeline.stages.rendering.work_orders import FoundCounts, found_counts
from thumb_pipeline.stages.workers.pool import open_pool
from thumb_pipeline.storage import stopping
from thumb_pipeline.storage.publishing import FolderClosed

_FIRST_BATCH = 60
_SMALLEST_BATCH, _LARGEST_BATCH = 20, 2_000
_SETTLES_WITHIN = 3.0  # settle intervals
_LOOK_EVERY_S = 0.2
_LOOK_SHARE = 0.05
"""Looking takes at most this share of a core, however many timelapses there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """How long to stay: until nothing was new for `linger_s`, and never longer than `most_s`.

    With `is_kept_warm`, only the workers end when nothing was new; they start in a fraction of the time of a run.
    """

    linger_s: float
    most_s: float
    is_kept_warm: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """The result of one batch.

    Attributes:
        result: what rendering did.
        found: what the plan found, by timelapse.
        trouble: timelapses that were left alone, with the reason.
    """

    result: ChunkResult = field(default_factory=ChunkResult)
    found: dict[str, FoundCounts] = field(default_factory=dict)
    trouble: dict[str, str] = field(default_factory=dict)


class Follower:
    """Follows a library's cameras with workers that stay warm between batches. A context; it ends its workers."""

    def __init__(self, library: Library, watch: Watch, lease: Lease, run_id: str) -> None:
        self.library = library.urgently()
        self._watch = watch
        self._lease = lease
        self._run_id = run_id
        self._settings_seen: tuple[int, ...] | None = ()  # the file may have changed since the library was opened
        self._pool = open_pool(self.library, lease)
        self._pool.warm_up(watch.n_waiting)
        self._limit = _FIRST_BATCH

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._pool.__exit__(None, None, None)

    def batches(self, stay: Stay) -> Iterator[Rendered | None]:
        """The result of each batch, and None after each look that found nothing, until it is time to end.

        Raises:
            ArchiveUnavailable: the folder of all cameras cannot be listed.
            CannotWrite: the disk does not take files.
        """
        began_s = idle_since_s = time.monotonic()
        wanted = self.library.settings.captures
        while True:
            stopping.look()
            looked_s = time.monotonic()
            self._watch.look(self.library)
            look_took_s = time.monotonic() - looked_s
            is_changed = self._take_up_settings()
            batch = self._watch.take(self._limit)
            if batch:
                yield self._carry_out(batch)
            else:
                yield None
            if batch or self._watch.is_behind or is_changed:
                idle_since_s = time.monotonic()
            now_s = time.monotonic()
            is_over = now_s - began_s >= stay.most_s or self.library.settings.captures != wanted
            if not batch and now_s - idle_since_s >= self._linger_s(stay):
                self._pool.rest()
                is_over = is_over or not stay.is_kept_warm
            if is_over:
                return
            if not batch and not self._watch.is_behind:
                time.sleep(pause_s(look_took_s))

    def _linger_s(self, stay: Stay) -> float:
        """How long to wait for new sources: longer while one is being written, to save the start of another run."""
        settle_s = _SETTLES_WITHIN * self.library.settings.settle_interval_s if self._watch.n_unsettled else 0.0
        return max(stay.linger_s, settle_s)

    def _carry_out(self, batch: dict[str, list[str]]) -> Rendered:
        """Plans, records and renders a batch; a timelapse that cannot be planned does not hold up the others."""
        started_s = time.monotonic()
        self._pool.warm_up(sum(map(len, batch.values())))
        plan, trouble = self._plan(batch)
        accept_plan.record(self.library, plan)
        result, closed = self._render(plan.rows)
        trouble |= closed
        for key, reason in trouble.items():
            self._watch.set_aside(key, reason)
        refused_in = {key for key, counts in result.by_timelapse.items() if counts.failed}
        self._watch.settle(self.library, {key: batch[key] for key in batch if key not in trouble}, refused_in)
        self._adapt(sum(map(len, batch.values())), time.monotonic() - started_s)
        return Rendered(result=result, found=found_counts(plan), trouble=trouble)

    def _render(self, rows: pl.DataFrame) -> tuple[ChunkResult, dict[str, str]]:
        """Renders plan rows; returns the result, and the timelapses whose folders take no files: the others go on."""
        if rows.is_empty():
            return ChunkResult(), {}
        try:
            return render_rows(self.library, rows, self._lease, run_id=self._run_id, pool=self._pool), {}
        except FolderClosed as closed:
            self._renew_pool()  # some of its workers are in the middle of a task
            parts = rows.partition_by("timelapse")
            if len(parts) == 1:
                return ChunkResult(), {rows["timelapse"][0]: str(closed)}
        results = [self._render(part) for part in parts]
        return work_orders.fold([result for result, _ in results]), {
            k: v for _, trouble in results for k, v in trouble.items()
        }

    def _renew_pool(self) -> None:
        self._pool.__exit__(None, None, None)
        self._pool = open_pool(self.library, self._lease)

    def _plan(self, batch: dict[str, list[str]]) -> tuple[Plan, dict[str, str]]:
        names = tuple(dict.fromkeys(name for names in batch.values() for name in names))
        selection = Selection(timelapses=tuple(batch), sources=names, is_hint=True)
        return plan_apart(self.library, selection, self._lease)

    def _adapt(self, n_sources: int, took_s: float) -> None:
        """Adapts the size of batches to `batches.captures_s`; a small batch says little about the cost of a source."""
        if n_sources >= _SMALLEST_BATCH:
            wanted = int(n_sources * self.library.settings.batches.captures_s / max(took_s, 0.001))
            self._limit = max(_SMALLEST_BATCH, min(_LARGEST_BATCH, wanted, 2 * self._limit))

    def _take_up_settings(self) -> bool:
        """Reads the settings if their file changed; returns whether it did. Unusable ones leave the last in force."""
        seen = settings_in_force.look_at_file(self.library)
        if seen == self._settings_seen:
            return False
        self._settings_seen = seen
        try:
            opened = settings_in_force.open_in_force(self.library.root).urgently()
        except Refused as refused:  # the file vanished, say; a vanished library is noticed elsewhere
            self._watch.trouble[SETTINGS_NAME] = f"{refused}; the last usable settings stay in force"
            return True
        before, self.library = self.library.written, opened
        if opened.written != before:
            self._renew_pool()
        return True


def pause_s(look_took_s: float) -> float:
    """How long to wait between two looks."""
    return max(_LOOK_EVERY_S, look_took_s / _LOOK_SHARE)
