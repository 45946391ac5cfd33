"""How many of the required variants exist: by variant, over all timelapses in the tables."""

import polars as pl


def coverage(tally: pl.LazyFrame, *, by: tuple[str, ...] = ("variant",)) -> pl.LazyFrame:
    """Required and present variants, and their ratio.

    Args:
        tally: timelapse, variant, is_present, n of expected variants; refused and pending sources' count as required.
        by: the columns to count by.

    Returns:
        `by`, required, present, ratio (null where nothing is required), in the order of names.
    """
    present = pl.col("n").filter(pl.col("is_present")).sum()
    return (
        tally.group_by(*by)
        .agg(required=pl.col("n").sum(), present=present)
        .with_columns(ratio=pl.when(pl.col("required") > 0).then(pl.col("present") / pl.col("required")))
        .sort(*by)
    )
