"""Rows of the manifest for files that are adopted as they are; `stages.rendering.chunk` builds the others."""

from datetime import UTC, datetime

import polars as pl

from thumb_pipeline.datasets.schemas import INSTANT, MANIFEST
from thumb_pipeline.domain.plans import Origin, RecordState
from thumb_pipeline.domain.variants import RENDER_REVISION

LEARNED = ("decoder", "render_ms", "thumb_hash", "run_id")
"""The columns that only rendering fills in."""

_OF_REFUSALS = ("reason", "detail", "attempts", "retry_at")


def adopted_rows(files: pl.DataFrame, *, is_trusted: pl.Expr, **columns: pl.Expr) -> pl.DataFrame:
    """The manifest rows of variants that are right as they are, in the order of the files.

    Args:
        files: the other columns of the manifest by their names, and those that `columns` is computed from.
        is_trusted: whether a file is another program's.
        columns: expressions for columns of the manifest, by their names.
    """
    values = {
        "state": pl.lit(RecordState.MADE),
        "origin": pl.when(is_trusted).then(pl.lit(Origin.TRUSTED)).otherwise(pl.lit(Origin.ADOPTED)),
        "render_revision": pl.lit(RENDER_REVISION),
        "recorded_at": pl.lit(datetime.now(UTC), INSTANT),
        **{name: pl.lit(None) for name in (*_OF_REFUSALS, *LEARNED)},
        **columns,
    }
    return files.with_columns(**values).select(pl.col(name).cast(kind) for name, kind in MANIFEST.columns.items())
