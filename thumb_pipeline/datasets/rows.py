"""Operations on rows in memory that several modules share."""

import polars as pl


def by_timelapse(rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The rows of each timelapse that has any, in the order in which the timelapses first appear."""
    return {str(key): mine for (key,), mine in rows.partition_by("timelapse", as_dict=True).items()}
