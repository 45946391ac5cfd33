"""Finds the recorded digests of sources, taken under the size and mtime that they have now.

Rendering and deep verification take digests, in workers.
"""

import polars as pl

from thumb_pipeline.datasets.schemas import SOURCE_KEY
from thumb_pipeline.stages.library.library import Library

_STAT = ["timelapse", "source_name", "n_bytes", "mtime_ns"]


def add_known_digests(library: Library, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows about sources with their `digest`; null where none was taken, or where records disagree.

    The inventory has the first digest that was taken. It has none of a source whose variants were adopted: there the
    manifest has the digest that the variants' provenance states.

    Args:
        library: the library.
        rows: timelapse, source_name, n_bytes, mtime_ns of sources as they are listed, and any other columns.
    """
    keys, names = rows["timelapse"].unique().to_list(), rows["source_name"].unique().to_list()
    taken = library.inventory.query(
        keys, lambda known: known.filter(pl.col("digest").is_not_null()).select(*_STAT, i_digest="digest"), names=names
    )
    of_source = (pl.col("source_n_bytes").alias("n_bytes"), pl.col("source_mtime_ns").alias("mtime_ns"))
    agreed = pl.when(pl.col("source_digest").n_unique() == 1).then(pl.col("source_digest").first())
    recorded = library.manifest.query(
        keys,
        lambda known: (
            known.filter(pl.col("source_digest").is_not_null()).group_by(*SOURCE_KEY, *of_source).agg(m_digest=agreed)
        ),
        names=names,
    )
    return (
        rows.join(taken, on=_STAT, how="left", maintain_order="left")
        .join(recorded, on=_STAT, how="left", maintain_order="left")
        .with_columns(digest=pl.coalesce("i_digest", "m_digest"))
        .drop("i_digest", "m_digest")
    )
