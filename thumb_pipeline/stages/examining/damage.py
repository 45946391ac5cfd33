"""Records which files were opened and found damaged although they look as recorded, so that plans know.

Damage holds for one file: a path with its size and mtime. Before a plan acts on it, the file is opened
again, as it may have been restored with the same size and mtime. Damage is forgotten when the variant is made again.
`deep` finds it.
"""

from collections.abc import Sequence

import polars as pl

from thumb_pipeline.datasets.rows import by_timelapse
from thumb_pipeline.datasets.schemas import SOURCE_KEY, VARIANT_KEY
from thumb_pipeline.domain.plans import Reason, State
from thumb_pipeline.stages.examining.deep import files_of_variants, prove
from thumb_pipeline.stages.library.library import Lease, Library
from thumb_pipeline.stages.workers.pool import open_pool

VOUCHED = (State.VALID.value, State.ADOPTED)
"""States of variants whose files were not opened to their end; damage can overturn them."""


def mark_damaged(
    library: Library, states: pl.DataFrame, files: pl.DataFrame, only: Sequence[str] | None
) -> pl.DataFrame:
    """States of one variant with `is_damaged`: whether its file still is the one that was found damaged.

    Such a variant loses its `known_digest`: a source that was only touched must not keep a damaged file.

    Args:
        library: the library.
        states: of one variant in some timelapses, what `analytics.states.variant_states` gives.
        files: timelapse, variant_path, n_bytes, mtime_ns as listed.
        only: the source names that the states are confined to.
    """
    keys = [key for key in states["timelapse"].unique() if library.damage.holds(key)]
    file = ["timelapse", "variant_path", "n_bytes", "mtime_ns"]
    damage = library.damage.query(keys, lambda rows: rows.select("source_name", *file), names=only) if keys else None
    if damage is None or damage.is_empty():
        return states.with_columns(is_damaged=pl.lit(False))
    standing = damage.join(files, on=file, how="semi").select(*SOURCE_KEY, "variant_path")
    damaged = standing.with_columns(is_damaged=pl.lit(True))
    return states.join(
        damaged, on=["timelapse", "source_name", "variant_path"], how="left", maintain_order="left"
    ).with_columns(
        is_damaged=pl.col("is_damaged").fill_null(False),
        known_digest=pl.when(pl.col("is_damaged").is_null()).then("known_digest"),
    )


def read_damaged_sources(library: Library, sources: pl.DataFrame) -> pl.DataFrame:
    """The sources (as listed) that were found damaged and have not changed since."""
    keys = [key for key in sources["timelapse"].unique() if library.damage.holds(key)]
    if not keys:
        return sources.head(0)
    damage = library.damage.read(keys, where=pl.col("variant") == "")
    return sources.join(damage, on=["timelapse", "source_name", "n_bytes", "mtime_ns"], how="semi")


def reconsider_damaged(
    library: Library, decided: pl.DataFrame, adopted: pl.DataFrame, lease: Lease
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Opens again the damaged files that a plan would leave alone; returns its states and adoptions after that."""
    if not decided["is_damaged"].any():
        return decided, adopted
    decided = decided.with_columns(known_digest=pl.when(~pl.col("is_damaged")).then("known_digest"))
    doubtful = decided.filter(pl.col("is_damaged") & pl.col("state").is_in(VOUCHED))
    with open_pool(library, lease) as pool:
        proven = prove(library, pool, files_of_variants(library, doubtful, adopted))
    return proven.applied(decided), adopted.join(proven.wrong, on=VARIANT_KEY, how="anti")


def remember(library: Library, wrong: pl.DataFrame, forgotten: pl.DataFrame) -> None:
    """Records new damage (`DAMAGE` columns), and takes out the forgotten rows."""
    new = by_timelapse(wrong)
    gone = by_timelapse(forgotten)
    for key in sorted({*new, *gone}):
        rows = new.get(key, library.damage.schema.empty())
        library.damage.merge(key, rows, removed=gone.get(key))


def forget_made(library: Library, key: str, made: pl.DataFrame) -> None:
    """Takes out the damage of variants that were made again (timelapse, source_name, variant)."""
    if not library.damage.holds(key):
        return
    known = library.damage.read([key], names=made["source_name"].unique().to_list())
    outdated = known.join(made, on=VARIANT_KEY, how="semi").select(VARIANT_KEY)
    if not outdated.is_empty():
        library.damage.merge(key, library.damage.schema.empty(), removed=outdated)


def forget_sources(library: Library, key: str, names: Sequence[str]) -> None:
    """Takes out damage and check times of sources that are accepted to be gone, and of their variants."""
    for table in (library.damage, library.checked):
        if not table.holds(key):
            continue
        known = table.read([key], names=names).select("timelapse", *table.schema.key)
        if not known.is_empty():
            table.merge(key, table.schema.empty(), removed=known)


def find_outdated(library: Library, sources: pl.DataFrame, decided: pl.DataFrame, wrong: pl.DataFrame) -> pl.DataFrame:
    """Damage (timelapse, source_name, variant) that a verification of whole timelapses does not confirm.

    Where a source or a file is not there, its damage stays: the disk may not be mounted.

    Args:
        library: the library.
        sources: the verified sources, as listed.
        decided: their variants' states as they were before proving.
        wrong: the damage that was found now.
    """
    held = [key for key in sources["timelapse"].unique() if library.damage.holds(key)]
    if not held:
        return wrong.head(0).select(VARIANT_KEY)
    reasons = [reason.value for reason in Reason]
    unproved = (pl.col("is_damaged") & pl.col("state").is_in(reasons)) | (pl.col("state") == Reason.MISSING.value)
    confirmed = pl.concat([wrong.select(VARIANT_KEY), decided.filter(unproved).select(VARIANT_KEY)])
    known = library.damage.read(held).select(VARIANT_KEY)
    return known.join(sources, on=SOURCE_KEY, how="semi").join(confirmed, on=VARIANT_KEY, how="anti")
