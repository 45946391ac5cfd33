"""Renders, where only the newest capture has a variant and the newest was refused, the one before it.

Which capture is the newest that can be rendered is known only once it was tried (`stages.planning.policy`). Without
this a timelapse whose last frame is broken would be without the variant until somebody plans again.
"""

from collections.abc import Callable
from dataclasses import replace

import polars as pl

from thumb_pipeline.stages.inventory.selection import Selection
from thumb_pipeline.stages.library.library import Lease, Library
from thumb_pipeline.stages.planning.plan_apart import plan_apart
from thumb_pipeline.stages.planning.policy import keeps_latest_only
from thumb_pipeline.stages.rendering import accept_plan
from thumb_pipeline.stages.rendering.chunk import ChunkResult, SourceDone, render_chunk
from thumb_pipeline.stages.rendering.work_orders import fold
from thumb_pipeline.stages.workers.pool import WorkerPool

_MOST_IN_A_ROW = 20
"""A timelapse that ends in more broken captures than these is gone on with by the next plan."""


def render_rows(
    library: Library,
    rows: pl.DataFrame,
    lease: Lease,
    *,
    run_id: str,
    on_source: SourceDone | None = None,
    on_end: Callable[[ChunkResult], None] | None = None,
    pool: WorkerPool | None = None,
) -> ChunkResult:
    """Renders plan rows as `chunk.render_chunk` does, then what takes the place of refused newest captures.

    `on_end` is told of each piece.
    """
    results: list[ChunkResult] = []

    def told(result: ChunkResult) -> None:
        if on_end is not None:
            on_end(_news(result, results))

    for _ in range(_MOST_IN_A_ROW):
        result = render_chunk(library, rows, lease, run_id=run_id, on_source=on_source, on_end=told, pool=pool)
        results.append(_news(result, results))
        rows, on_source = _instead(library, rows, result, lease), None
        if rows.is_empty():
            break
    return fold(results)


def _news(result: ChunkResult, before: list[ChunkResult]) -> ChunkResult:
    """A result without the sources that were counted as failed already, in another variant."""
    known = {name for earlier in before for name, _, _ in earlier.failures}
    counts = dict(result.by_timelapse)
    for name, _, _ in result.failures:
        if name in known:
            key, _, _ = name.rpartition("/")
            counts[key] = replace(counts[key], failed=counts[key].failed - 1)
    new = [failure for failure in result.failures if failure[0] not in known]
    return replace(result, by_timelapse=counts, failures=new)


def _instead(library: Library, tried: pl.DataFrame, result: ChunkResult, lease: Lease) -> pl.DataFrame:
    """The plan rows of captures that are the newest now, as those that were tried were refused."""
    failed = [key for key, counts in result.by_timelapse.items() if counts.failed]
    parts = [tried.head(0)]
    for name, spec in library.settings.specs.items():
        # Where a predecessor stands, it stays.
        bare = tried.filter((pl.col("variant") == name) & pl.col("superseded_source").is_null())["timelapse"].unique()
        keys = sorted(set(keeps_latest_only(library, failed, spec)) & set(bare))
        if keys:
            selection = Selection(timelapses=tuple(keys), variants=(name,))
            plan, _ = plan_apart(library, selection, lease)  # whoever is left out is told so by the next plan
            accept_plan.record(library, plan)
            newest = plan.rows.sort("captured_at", nulls_last=False).unique("timelapse", keep="last")
            parts.append(newest.select(tried.columns))
    return pl.concat(parts)
