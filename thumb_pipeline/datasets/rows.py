"""Rows of tables in memory: what everybody does with them before they are merged."""

import polars as pl


def by_timelapse(rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The rows of each timelapse that has any, in the order in which the timelapses come."""
    return {str(key): mine for (key,), mine in rows.partition_by("timelapse", as_dict=True).items()}
