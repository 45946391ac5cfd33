"""Rolling deep verification: opens a part of the library at a time, and first what was looked at longest ago.

A source counts as looked at when it was first listed in its present state, and whenever it was opened with its
variants, here or by `verify --deep`. A schedule decides when this runs.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from thumb_pipeline.analytics.expected import expected_variants
from thumb_pipeline.datasets.rows import by_timelapse
from thumb_pipeline.datasets.schemas import DAMAGE, MANIFEST, SOURCE_KEY, VARIANT_KEY
from thumb_pipeline.domain.clocks import SLACK
from thumb_pipeline.domain.plans import RecordState
from thumb_pipeline.domain.settings import for_timelapse
from thumb_pipeline.domain.variants import RENDER_REVISION
from thumb_pipeline.stages.examining import damage
from thumb_pipeline.stages.examining.deep import Proven, files_of_sources, files_of_variants, prove, together
from thumb_pipeline.stages.inventory.listing import discover
from thumb_pipeline.stages.inventory.settling import SETTLED
from thumb_pipeline.stages.library.library import Lease, Library
from thumb_pipeline.stages.library.progress import Progress
from thumb_pipeline.stages.verification import verdicts
from thumb_pipeline.stages.verification.choose_files import checked_sources
from thumb_pipeline.stages.verification.verify import verify
from thumb_pipeline.stages.workers.pool import WorkerPool, open_pool

_SOURCES_A_STEP = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one run may use.

    Attributes:
        n_bytes: bytes to read; the source that exceeds them is still finished.
        seconds: time after which no further step (a few hundred sources) begins.
    """

    n_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RollResult:
    """The result of one run.

    Attributes:
        n_sources: sources opened with their variants.
        n_variants: variants opened.
        n_bytes: bytes read.
        n_moved: sources that were not there as recorded; they are left to `verify`, which lists the folders anew.
        n_left: sources that were not reached.
        n_wrong: files found wrong (`wrong` has the rows).
        timelapses: keys whose kept verdicts were renewed: damage was found there, or was known there before.
        wrong: the files found wrong (`DAMAGE` columns).
        oldest_at: the oldest look at any source after this run; None without sources.
        duration_s: wall time.
    """

    n_sources: int
    n_variants: int
    n_bytes: int
    n_moved: int
    n_left: int
    n_wrong: int
    timelapses: list[str]
    wrong: pl.DataFrame
    oldest_at: datetime | None
    duration_s: float


def budget_of(library: Library) -> Budget:
    """What the settings allow one run."""
    allowed = library.settings.verification
    return Budget(n_bytes=allowed.rolling_bytes, seconds=allowed.rolling_s)


def roll(library: Library, lease: Lease, *, budget: Budget, on_progress: Progress | None = None) -> RollResult:
    """Opens the sources that were looked at longest ago, and their variants, until the budget is used.

    At least one step is always taken, so that repeated runs get through a library of any size. Findings are recorded at
    once. At the end, timelapses where damage was found, or where one of the opened sources had damage on record, are
    verified at normal depth, and their kept verdicts are renewed.

    Args:
        library: the library.
        lease: ours.
        budget: for this run.
        on_progress: called with the number of sources done, and of those that the budget's bytes allow.

    Raises:
        ArchiveUnavailable: a folder cannot be listed.
        Refused: the disk of the variants is not there, or a variant folder is a link.
    """
    started = time.monotonic()
    queue = _read_queue(library)
    n_likely = _within_budget(queue, budget.n_bytes).height
    steps: list[_Step] = []
    n_done, n_bytes = 0, 0
    with open_pool(library, lease) as pool:
        while n_done < queue.height and n_bytes < budget.n_bytes:
            # The budget counts bytes read, not bytes expected: sources that are gone must not delay the others.
            step = _open_sources(
                library, pool, _within_budget(queue.slice(n_done, _SOURCES_A_STEP), budget.n_bytes - n_bytes)
            )
            steps.append(step)
            n_done += step.n_sources
            n_bytes += step.proven.n_bytes
            if on_progress is not None:
                on_progress(n_done, max(n_done, n_likely))
            if time.monotonic() - started >= budget.seconds:
                break
    touched = sorted({key for step in steps for key in step.touched})
    for part in verify(library, touched, lease):
        verdicts.keep(library, part)
    return _result(queue, steps, touched, time.monotonic() - started)


@dataclass(frozen=True, slots=True)
class _Step:
    """The result of opening some sources with their variants."""

    n_sources: int
    proven: Proven
    checked: pl.DataFrame
    touched: set[str]


def _read_queue(library: Library) -> pl.DataFrame:
    """Complete sources, the next one first: timelapse, source_name, n_bytes, mtime_ns, looked_at, n_bytes_read."""
    keys = discover(library).keys
    settled = pl.col("state") == SETTLED
    columns = ("timelapse", "source_name", "n_bytes", "mtime_ns", "looked_at")
    sources = library.inventory.query(keys, lambda rows: rows.filter(settled).select(columns))
    checked = library.checked.query(keys, lambda rows: rows.select(*SOURCE_KEY, "checked_at"))
    held = library.manifest.query(keys, lambda rows: rows.group_by(SOURCE_KEY).agg(held=pl.col("n_bytes").sum()))
    return (
        sources.join(checked, on=SOURCE_KEY, how="left")
        .join(held, on=SOURCE_KEY, how="left")
        .select(
            *columns[:-1],
            looked_at=pl.max_horizontal(_drop_future_times("looked_at"), _drop_future_times("checked_at")),
            n_bytes_read=pl.col("n_bytes") + pl.col("held").fill_null(0),
        )
        .sort("looked_at", *SOURCE_KEY, nulls_last=False)
    )


def _drop_future_times(column: str) -> pl.Expr:
    """The time in this column, or null where it lies in the future: a clock that ran ahead wrote it."""
    return pl.when(pl.col(column) <= datetime.now(UTC) + SLACK).then(column)


def _within_budget(queue: pl.DataFrame, n_bytes: int) -> pl.DataFrame:
    """The first sources of the queue, up to and including the one that exceeds this many bytes."""
    return queue.filter(pl.col("n_bytes_read").cum_sum() - pl.col("n_bytes_read") < n_bytes)


def _open_sources(library: Library, pool: WorkerPool, sources: pl.DataFrame) -> _Step:
    read = prove(library, pool, files_of_sources(library, sources))
    checked = checked_sources(sources, read, datetime.now(UTC))
    # Variants of sources that are gone are orphans.
    variants = _read_vouched_variants(library, sources.join(checked, on=SOURCE_KEY, how="semi"))
    proven = together([read, prove(library, pool, files_of_variants(library, variants, MANIFEST.empty()))])
    known = _read_known_damage(library, sources)
    damage.remember(library, proven.wrong, known.head(0))
    verdicts.remember_checked(library, checked)
    touched = {*proven.wrong["timelapse"], *known["timelapse"]}
    return _Step(sources.height, proven, checked, touched)


def _read_vouched_variants(library: Library, sources: pl.DataFrame) -> pl.DataFrame:
    """Expected variants of these sources that are recorded as right; workers check whether they still are."""
    parts = [expected_variants(sources.head(0).lazy(), ()).collect()]
    for key, mine in by_timelapse(sources).items():
        specs = for_timelapse(library.settings, key).specs
        parts.append(expected_variants(mine.lazy(), specs).collect())
    names = sources["source_name"].unique().to_list()
    made = (pl.col("state") == RecordState.MADE) & (pl.col("render_revision") == RENDER_REVISION)
    of_source = {"n_bytes": pl.col("source_n_bytes"), "mtime_ns": pl.col("source_mtime_ns")}
    same = [*VARIANT_KEY, "variant_path", "spec_fingerprint"]
    recorded = library.manifest.query(
        sources["timelapse"].unique().to_list(),
        lambda rows: rows.filter(made).select(*same, **of_source),
        names=names,
    )
    return pl.concat(parts).join(recorded, on=[*same, "n_bytes", "mtime_ns"], how="semi")


def _read_known_damage(library: Library, sources: pl.DataFrame) -> pl.DataFrame:
    keys = [key for key in sources["timelapse"].unique() if library.damage.holds(key)]
    known = library.damage.read(keys, names=sources["source_name"].unique().to_list())
    return known.join(sources, on=SOURCE_KEY, how="semi").select(VARIANT_KEY)


def _result(queue: pl.DataFrame, steps: list[_Step], touched: list[str], duration_s: float) -> RollResult:
    wrong = pl.concat([DAMAGE.empty(), *(step.proven.wrong for step in steps)])
    done = pl.concat([step.checked for step in steps]) if steps else queue.select(SOURCE_KEY).head(0)
    n_taken = sum(step.n_sources for step in steps)
    remaining = queue.slice(n_taken)
    oldest = remaining["looked_at"].min() if remaining.height else (done["checked_at"].min() if done.height else None)
    assert oldest is None or isinstance(oldest, datetime)
    return RollResult(
        n_sources=done.height,
        n_variants=sum(step.proven.n_files - step.n_sources for step in steps),
        n_bytes=sum(step.proven.n_bytes for step in steps),
        n_moved=n_taken - done.height,
        n_left=remaining.height,
        n_wrong=wrong.height,
        timelapses=touched,
        wrong=wrong,
        oldest_at=oldest,
        duration_s=duration_s,
    )
