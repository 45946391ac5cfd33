"""What the variant folders hold: listed files and bytes by variant."""

from collections.abc import Sequence

import polars as pl

from thumb_pipeline.domain.variants import VariantSpec

_WHEN = "(_([0-9]{8}|day[0-9]{3,6})_[0-9]{6})?"  # what the published name patterns have after the tag


def variant_usage(files: pl.LazyFrame, specs: Sequence[VariantSpec]) -> pl.LazyFrame:
    """Files and bytes by timelapse and variant; whatever lies in a folder counts, expected or not.

    Where several variants share a folder, a file belongs to the one whose tag is in its name.

    Args:
        files: timelapse, variant_path, n_bytes of a listing.
        specs: all variants of the library.

    Returns:
        timelapse, variant, n_files, n_bytes.
    """
    folder, name = pl.col("variant_path").str.split("/").list.first(), pl.col("variant_path").str.split("/").list.last()
    n_in_folder = {spec.folder: sum(other.folder == spec.folder for other in specs) for spec in specs}
    variant = pl.lit(None, pl.String)
    for spec in specs:
        bears_tag = name.str.contains(rf"_{spec.tag}{_WHEN}\.{spec.extension}$")
        mine = folder == spec.folder
        variant = (
            pl.when(mine if n_in_folder[spec.folder] == 1 else mine & bears_tag)
            .then(pl.lit(spec.name))
            .otherwise(variant)
        )
    return (
        files.with_columns(variant=variant)
        .drop_nulls("variant")
        .group_by("timelapse", "variant")
        .agg(n_files=pl.len().cast(pl.Int64), n_bytes=pl.col("n_bytes").sum())
    )
