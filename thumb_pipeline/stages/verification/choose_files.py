"""Chooses which of the files that look right a verification opens, and opens them one part of the library at a time.

The files are opened by `examining.deep`. `verify` uses the results; rolling verification is in `rolling`.
"""

from datetime import datetime

import polars as pl

from thumb_pipeline.datasets.schemas import INSTANT, SOURCE_KEY, VARIANT_KEY
from thumb_pipeline.stages.examining import damage
from thumb_pipeline.stages.examining.deep import Proven, files_of_sources, files_of_variants, prove, together
from thumb_pipeline.stages.inventory.settling import SETTLED
from thumb_pipeline.stages.inventory.survey import Survey
from thumb_pipeline.stages.library.library import Lease, Library
from thumb_pipeline.stages.library.progress import Progress, of_part
from thumb_pipeline.stages.workers.pool import open_pool

_SOURCES_AT_ONCE = 50_000


def checked_sources(sources: pl.DataFrame, proven: Proven, now: datetime) -> pl.DataFrame:
    """`CHECKED` rows of those sources (timelapse, source_name) that were there as recorded and could be read."""
    read = sources.with_columns(variant=pl.lit("")).join(proven.moved, on=VARIANT_KEY, how="anti")
    return read.select(*SOURCE_KEY, checked_at=pl.lit(now, INSTANT))


def to_open(library: Library, found: Survey, decided: pl.DataFrame, *, deep: bool) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Sources and variants that look right and are to be opened.

    With `deep` these are all of them, else those that were found wrong before.
    """
    settled = found.sources.filter(pl.col("state") == SETTLED)
    vouched = decided.filter(pl.col("state").is_in(damage.VOUCHED))
    if deep:
        return settled, vouched
    return damage.read_damaged_sources(library, settled), vouched.filter("is_damaged")


def opened(
    library: Library,
    lease: Lease,
    sources: pl.DataFrame,
    variants: pl.DataFrame,
    adoptable: pl.DataFrame,
    on_progress: Progress | None,
) -> Proven:
    """Opens files, some tens of thousands of sources at a time, as the records of all would not fit in memory."""
    named = pl.concat([sources.select(*SOURCE_KEY), variants.select(*SOURCE_KEY)])
    chosen = named.unique().sort(*SOURCE_KEY)
    if chosen.is_empty():
        return together([])
    n_files = sources.height + variants.height
    parts: list[Proven] = []
    with open_pool(library, lease) as pool:
        for slice_of in chosen.iter_slices(_SOURCES_AT_ONCE):
            files = [
                files_of_sources(library, sources.join(slice_of, on=SOURCE_KEY, how="semi")),
                files_of_variants(library, variants.join(slice_of, on=SOURCE_KEY, how="semi"), adoptable),
            ]
            n_before = sum(part.n_files for part in parts)
            parts.append(prove(library, pool, pl.concat(files), of_part(on_progress, n_before, n_files)))
    return together(parts)
