"""Carries out a plan, chunk by chunk: workers render and publish, and their results are recorded as they come.

`plan` decides what to make; `workers.process` handles one source.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import polars as pl

from thumb_pipeline.analytics.expected import folder_of
from thumb_pipeline.datasets.schemas import MANIFEST
from thumb_pipeline.domain import names
from thumb_pipeline.domain.failures import Failure
from thumb_pipeline.domain.plans import Origin, RecordState
from thumb_pipeline.domain.variants import RENDER_REVISION
from thumb_pipeline.imaging.sources.decoders import decoder_version
from thumb_pipeline.stages.examining.damage import forget_made
from thumb_pipeline.stages.inventory.survey import fill_in
from thumb_pipeline.stages.library import clean_up
from thumb_pipeline.stages.library.library import Lease, Library
from thumb_pipeline.stages.rendering.retries import merge_outcomes
from thumb_pipeline.stages.workers.messages import Outcome, RenderAnswer, RenderTask, VariantAnswer, VariantOrder
from thumb_pipeline.stages.workers.pool import WorkerPool, open_pool
from thumb_pipeline.storage import stopping
from thumb_pipeline.storage.folders import mtime_ns
from thumb_pipeline.storage.publishing import settle_on_disk

SourceDone = Callable[[int], None]
"""Called after each source with the number of sources done."""

_FLUSH_AFTER_S = 5.0
_FLUSH_AFTER_ROWS = 2_000
_N_SLOWEST = 5
_N_FAILURES = 50

_IDENTITY = {"timelapse": pl.String, "source_name": pl.String, "variant": pl.String}

_FACTS = {
    "source_name": pl.String,
    "n_bytes": pl.Int64,
    "mtime_ns": pl.Int64,
    "digest": pl.String,
    "format": pl.String,
    "width_px": pl.Int32,
    "height_px": pl.Int32,
    "exif_captured_at": pl.String,
}


@dataclass(slots=True, kw_only=True)
class TimelapseCounts:
    """What a chunk did in one timelapse: variants rendered and left unchanged, their bytes, sources failed, pending."""

    rendered: int = 0
    unchanged: int = 0
    n_bytes: int = 0
    failed: int = 0
    pending: int = 0

    def __add__(self, other: "TimelapseCounts") -> "TimelapseCounts":
        return TimelapseCounts(
            rendered=self.rendered + other.rendered,
            unchanged=self.unchanged + other.unchanged,
            n_bytes=self.n_bytes + other.n_bytes,
            failed=self.failed + other.failed,
            pending=self.pending + other.pending,
        )


@dataclass(slots=True, kw_only=True)
class ChunkResult:
    """The result of rendering a chunk; small enough to pass between processes.

    Attributes:
        by_timelapse: counts by key.
        slowest: (key/source, milliseconds), slowest first.
        failures: (key/source, reason, detail) of the first failed sources.
        duration_s: wall time.
    """

    by_timelapse: dict[str, TimelapseCounts] = field(default_factory=dict)
    slowest: list[tuple[str, float]] = field(default_factory=list)
    failures: list[tuple[str, str, str]] = field(default_factory=list)
    duration_s: float = 0.0


def render_chunk(
    library: Library,
    rows: pl.DataFrame,
    lease: Lease,
    *,
    run_id: str,
    on_source: SourceDone | None = None,
    on_end: Callable[[ChunkResult], None] | None = None,
    pool: WorkerPool | None = None,
) -> ChunkResult:
    """Renders the variants of some plan rows and records them as it goes.

    A kill loses at most the pictures in flight; those published since the last record carry their provenance and are
    adopted by the next plan.

    Args:
        library: the library.
        rows: of a plan (`PLAN` columns); all rows of a source together.
        lease: ours; unfinished files carry its id.
        run_id: goes into the records.
        on_source: called with the number of sources done.
        on_end: called with the result, also when the chunk is not finished.
        pool: running workers to use, which keep running; else workers are started for this chunk.

    Raises:
        CannotWrite: the disk does not take files; what was made until then is recorded.
        Stopped: a stop was asked for; what was made until then is recorded.
    """
    started = time.monotonic()
    recorder = _Recorder(library, run_id)
    folders = _folders(rows)
    library.claim_variants()
    clean_up.announce(library, lease, folders)  # for the process that cleans up, should we be killed
    jobs = list(_jobs(library, rows))
    n_done = 0
    try:
        with nullcontext(pool) if pool else open_pool(library, lease) as workers:
            for n_done, (job, answer) in enumerate(workers.run_for((job, job.task) for job in jobs), 1):
                recorder.take(job, answer)
                if on_source is not None:
                    on_source(n_done)
    finally:
        with stopping.finishing():
            recorder.flush()
            recorder.result.duration_s = time.monotonic() - started
            if n_done < len(jobs):  # stopped: our workers may have left unfinished files
                clean_up.discard_own(library, lease, folders)
            if on_end is not None:
                on_end(recorder.result)
    return recorder.result


@dataclass(frozen=True, slots=True)
class _Place:
    """What a plan row says of one variant."""

    variant: str
    variant_path: str
    spec_fingerprint: str
    superseded_path: str | None
    superseded_source: str | None

    @property
    def own_predecessor(self) -> str | None:
        """The path of the same source's previous variant, which stays recorded until the new one is made."""
        return self.superseded_path if self.superseded_source is None else None


@dataclass(frozen=True, slots=True)
class _Job:
    """A source's task, and the plan rows it is for."""

    key: str
    source: str
    task: RenderTask
    variants: list[_Place]


def _jobs(library: Library, rows: pl.DataFrame) -> Iterator[_Job]:
    """One job for each source, the largest files first, so that a run does not end on one huge file on one core.

    A timelapse stays together, at the place of its largest file: its records are then written once or twice.
    """
    specs = library.settings.specs
    largest = rows.select("timelapse", largest=pl.col("source_n_bytes").max().over("timelapse")).unique()
    ordered = rows.join(largest, on="timelapse").sort(
        "largest", "timelapse", "source_n_bytes", "source_name", descending=[True, False, True, False]
    )
    for group in ordered.partition_by("timelapse", "source_name", maintain_order=True):
        planned = group.to_dicts()
        first = planned[0]
        key, name = first["timelapse"], names.to_bytes(first["source_name"])
        places = [_Place(*(row[column] for column in _Place.__slots__)) for row in planned]
        orders = tuple(
            VariantOrder(
                spec=specs[place.variant],
                target=library.variant_file(key, place.variant_path),
                known_digest=row["known_digest"],
                superseded=_superseded_file(library, key, place.superseded_path),
                superseded_of=_name_digest(place.superseded_source),
            )
            for row, place in zip(planned, places, strict=True)
        )
        task = RenderTask(
            path=library.source_file(key, first["source_name"]),
            name=name,
            n_bytes=first["source_n_bytes"],
            mtime_ns=first["source_mtime_ns"],
            variants=orders,
        )
        yield _Job(key, first["source_name"], task, places)


def _name_digest(source: str | None) -> str | None:
    return None if source is None else names.name_digest(names.to_bytes(source))


def _superseded_file(library: Library, key: str, path: str | None) -> bytes | None:
    return None if path is None else library.variant_file(key, path)


def _folders(rows: pl.DataFrame) -> list[clean_up.Place]:
    """The variant folders that some plan rows write to."""
    return rows.select("timelapse", folder_of()).unique().rows()


class _Recorder:
    """Collects what workers answer, and merges it into manifest and inventory every few seconds."""

    def __init__(self, library: Library, run_id: str) -> None:
        self.result = ChunkResult()
        self._library = library
        self._run_id = run_id
        self._decoder = decoder_version()
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._facts: dict[str, list[dict[str, Any]]] = {}
        self._gone: dict[str, list[dict[str, str]]] = {}
        self._published: list[bytes] = []
        self._flushed_at = time.monotonic()

    def take(self, job: _Job, answer: object) -> None:
        counts = self.result.by_timelapse.setdefault(job.key, TimelapseCounts())
        if isinstance(answer, Failure):  # its worker died: this source is refused in all variants
            refused = VariantAnswer(outcome=Outcome.FAILED, reason=answer.reason, detail=answer.detail)
            answer = RenderAnswer(variants=[refused for _ in job.variants])
        assert isinstance(answer, RenderAnswer)
        for variant, order, place in zip(answer.variants, job.task.variants, job.variants, strict=True):
            self._take_variant(job, answer, variant, place, counts)
            if variant.outcome == Outcome.MADE:
                self._published.append(order.target)
        self._count_source(job, answer, counts)
        if answer.format is not None:
            self._facts.setdefault(job.key, []).append(_facts(job, answer))
        if len(self._published) >= _FLUSH_AFTER_ROWS or time.monotonic() - self._flushed_at > _FLUSH_AFTER_S:
            self.flush()

    def flush(self) -> None:
        """Syncs what was published, then records it; a stop waits for that."""
        with stopping.finishing():
            self._flush()

    def _flush(self) -> None:
        settle_on_disk(self._published)
        for key, rows in self._rows.items():
            recorded = pl.DataFrame(
                [row for row in rows if self._still_describes_file(key, row)], schema=MANIFEST.columns
            )
            gone = pl.DataFrame(self._gone.get(key, []), schema=_IDENTITY)
            merge_outcomes(self._library, key, recorded, removed=gone)
            forget_made(self._library, key, recorded.filter(pl.col("state") == RecordState.MADE))
        for key, facts in self._facts.items():
            fill_in(self._library, key, pl.DataFrame(facts, schema=_FACTS))
        self._rows, self._gone, self._facts, self._published = {}, {}, {}, []
        self._flushed_at = time.monotonic()

    def _still_describes_file(self, key: str, row: dict[str, Any]) -> bool:
        """Whether a row still describes the file on the disk; a process that replaced the file records that one."""
        if row["state"] != RecordState.MADE:
            return True
        try:
            status = os.stat(self._library.variant_file(key, row["variant_path"]))
        except OSError:
            return True  # the next listing shows what became of it
        return (status.st_size, mtime_ns(status)) == (row["n_bytes"], row["mtime_ns"])

    def _take_variant(
        self,
        job: _Job,
        answer: RenderAnswer,
        variant: VariantAnswer,
        place: _Place,
        counts: TimelapseCounts,
    ) -> None:
        if variant.outcome == Outcome.MOVED:
            return  # neither made nor refused: the next listing sees what it has become
        counts.rendered += variant.outcome == Outcome.MADE
        counts.unchanged += variant.outcome == Outcome.UNCHANGED
        counts.n_bytes += (variant.n_bytes or 0) if variant.outcome == Outcome.MADE else 0
        if variant.outcome == Outcome.MADE and place.superseded_source is not None:
            gone = {"timelapse": job.key, "source_name": place.superseded_source, "variant": place.variant}
            self._gone.setdefault(job.key, []).append(gone)
        self._rows.setdefault(job.key, []).append(self._row(job, answer, variant, place))

    def _row(self, job: _Job, answer: RenderAnswer, variant: VariantAnswer, place: _Place) -> dict[str, Any]:
        is_refused = variant.outcome == Outcome.FAILED
        return {
            "timelapse": job.key,
            "source_name": job.source,
            "variant": place.variant,
            "state": RecordState.FAILED if is_refused else RecordState.MADE,
            "origin": None if is_refused else Origin.RENDERED,
            "reason": variant.reason,
            "detail": variant.detail,
            "attempts": None,  # counted when it is merged
            "retry_at": None,
            # A refused variant keeps its predecessor's path, so that the predecessor goes once a new one is made.
            "variant_path": (place.own_predecessor if is_refused else None) or place.variant_path,
            "source_n_bytes": job.task.n_bytes,
            "source_mtime_ns": job.task.mtime_ns,
            "source_digest": answer.digest,
            "spec_fingerprint": place.spec_fingerprint,
            "render_revision": RENDER_REVISION,
            "frame_at": variant.frame_at,
            "decoder": self._decoder,
            "width_px": variant.width_px,
            "height_px": variant.height_px,
            "n_bytes": variant.n_bytes,
            "mtime_ns": variant.mtime_ns,
            "checksum": variant.checksum,
            "render_ms": variant.ms if variant.outcome == Outcome.MADE else None,
            "thumb_hash": answer.thumb_hash,
            "run_id": self._run_id,
            "recorded_at": datetime.now(UTC),
        }

    def _count_source(self, job: _Job, answer: RenderAnswer, counts: TimelapseCounts) -> None:
        shown = f"{job.key}/{job.source}"
        refused = [variant for variant in answer.variants if variant.outcome == Outcome.FAILED]
        counts.failed += bool(refused)
        counts.pending += any(variant.outcome == Outcome.MOVED for variant in answer.variants)
        if refused and len(self.result.failures) < _N_FAILURES:
            self.result.failures.append((shown, refused[0].reason or "", refused[0].detail or ""))
        took_ms = sum(variant.ms for variant in answer.variants)
        self.result.slowest = sorted([*self.result.slowest, (shown, took_ms)], key=lambda s: -s[1])[:_N_SLOWEST]


def _facts(job: _Job, answer: RenderAnswer) -> dict[str, Any]:
    return {
        "source_name": job.source,
        "n_bytes": job.task.n_bytes,
        "mtime_ns": job.task.mtime_ns,
        "digest": answer.digest,
        "format": answer.format,
        "width_px": answer.width_px,
        "height_px": answer.height_px,
        "exif_captured_at": answer.exif_captured_at,
    }
