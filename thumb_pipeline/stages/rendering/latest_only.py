"""Renders the capture before the newest, where only the newest has a variant and was refused.

Which capture is the newest that can be rendered shows only when it is tried (`stages.planning.policy`). Without this,
a timelapse whose last frame is broken would lack the variant until the next plan.
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
"""How many captures in a row are tried; the next plan continues with a timelapse that ends in more broken ones."""


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

    `on_end` is called with the result of each round.
    """
    results: list[ChunkResult] = []

    def report(result: ChunkResult) -> None:
        if on_end is not None:
            on_end(_without_counted(result, results))

    for _ in range(_MOST_IN_A_ROW):
        result = render_chunk(library, rows, lease, run_id=run_id, on_source=on_source, on_end=report, pool=pool)
        results.append(_without_counted(result, results))
        rows, on_source = _plan_replacements(library, rows, result, lease), None
        if rows.is_empty():
            break
    return fold(results)


def _without_counted(result: ChunkResult, before: list[ChunkResult]) -> ChunkResult:
    """A result without the failures of sources that an earlier round counted, for another variant."""
    known = {name for earlier in before for name, _, _ in earlier.failures}
    counts = dict(result.by_timelapse)
    for name, _, _ in result.failures:
        if name in known:
            key, _, _ = name.rpartition("/")
            counts[key] = replace(counts[key], failed=counts[key].failed - 1)
    new = [failure for failure in result.failures if failure[0] not in known]
    return replace(result, by_timelapse=counts, failures=new)


def _plan_replacements(library: Library, tried: pl.DataFrame, result: ChunkResult, lease: Lease) -> pl.DataFrame:
    """Plans the captures that are the newest now that the tried ones were refused; returns their plan rows."""
    failed = [key for key, counts in result.by_timelapse.items() if counts.failed]
    parts = [tried.head(0)]
    for name, spec in library.settings.specs.items():
        # Where the predecessor's variant exists, it stays.
        bare = tried.filter((pl.col("variant") == name) & pl.col("superseded_source").is_null())["timelapse"].unique()
        keys = sorted(set(keeps_latest_only(library, failed, spec)) & set(bare))
        if keys:
            selection = Selection(timelapses=tuple(keys), variants=(name,))
            plan, _ = plan_apart(library, selection, lease)  # the next plan reports what is left out
            accept_plan.record(library, plan)
            newest = plan.rows.sort("captured_at", nulls_last=False).unique("timelapse", keep="last")
            parts.append(newest.select(tried.columns))
    return pl.concat(parts)
