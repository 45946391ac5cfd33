"""Merges what rendering did into the manifest, refusals with the time of their next try, and tells when that is.

Which refusals stand until then is decided in `compare`; who comes back at that time is not decided here.
"""

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from thumb_pipeline.analytics.retries import with_retries
from thumb_pipeline.stages.library import Library


def merge_outcomes(library: Library, key: str, rows: pl.DataFrame, *, removed: pl.DataFrame | None = None) -> None:
    """Merges manifest rows of one timelapse; refused sources are counted on from what the manifest says of them.

    Args:
        library: the library.
        key: the timelapse.
        rows: what rendering did (`MANIFEST` columns).
        removed: key columns of rows to take out.
    """
    delays_s = library.settings.retries.delays_s

    def resolve(current: pl.DataFrame, incoming: pl.DataFrame) -> pl.DataFrame:
        return with_retries(incoming.lazy(), current.lazy(), delays_s=delays_s).collect()

    is_any_refused = (rows["state"] == "failed").any()
    library.manifest.merge(key, rows, removed=removed, resolve=resolve if is_any_refused else None)


def next_retry_at(library: Library, keys: Sequence[str]) -> datetime | None:
    """When the first refused source of some timelapses may be tried again, past or future; None where none will be."""
    first = pl.col("retry_at").filter(pl.col("state") == "failed").min()
    found: datetime | None = library.manifest.query(keys, lambda rows: rows.select(first)).item()
    return found
