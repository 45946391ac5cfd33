"""Tells when sources were captured, for whole tables: by name, by EXIF, by mtime, by the start date EXIF implies.

The rules for one source are in `domain.captures`.
"""

from datetime import date

import polars as pl

from thumb_pipeline.datasets.schemas import INSTANT, INVENTORY
from thumb_pipeline.datasets.slices import Table
from thumb_pipeline.domain.captures import Basis, Clock, capture, implied_start


def dated(rows: pl.DataFrame, clock: Clock, implied: date | None) -> pl.DataFrame:
    """Inventory rows of one timelapse with `captured_at` and what goes with it told anew.

    Args:
        rows: with source_name, exif_captured_at, mtime_ns; other columns are kept.
        clock: the timelapse's.
        implied: see `implied_by_exif`.
    """
    told = [
        capture(name, exif, mtime_ns, clock, implied)
        for name, exif, mtime_ns in rows.select("source_name", "exif_captured_at", "mtime_ns").iter_rows()
    ]
    return rows.with_columns(
        pl.Series("captured_at", [c.captured_at for c in told], INSTANT),
        pl.Series("captured_at_basis", [c.basis.value for c in told], pl.String),
        pl.Series("day_number", [c.day_number for c in told], pl.Int32),
        pl.Series("time_of_day_s", [c.time_of_day_s for c in told], pl.Int32),
        clock=pl.lit(clock.name),
    ).select(list(INVENTORY.columns))


def implied_by_exif(inventory: Table, key: str, clock: Clock) -> date | None:
    """The start date most frames with both a day number and an EXIF time agree on; None where none has both."""
    has_both = (pl.col("captured_at_basis") == Basis.EXIF.value) & pl.col("day_number").is_not_null()
    both = inventory.query([key], lambda rows: rows.filter(has_both).select("day_number", "captured_at"))
    starts = [implied_start(day, instant, clock.timezone) for day, instant in both.iter_rows()]
    return max(sorted(set(starts)), key=starts.count) if starts else None


def apply_implied_start(inventory: Table, key: str, clock: Clock) -> None:
    """Dates the numbered frames that have no EXIF of their own by those that have."""
    implied = implied_by_exif(inventory, key, clock)
    undated = (pl.col("captured_at_basis") == Basis.MTIME.value) & pl.col("day_number").is_not_null()
    if implied is None:
        return
    rows = inventory.read([key], where=undated)
    if not rows.is_empty():
        inventory.merge(key, rows, resolve=lambda current, _: dated(current.filter(undated), clock, implied))


def in_capture_order(sources: pl.LazyFrame) -> pl.LazyFrame:
    """Sorts inventory rows as they were taken: by instant; undated numbered days by (day, time), after the dated."""
    undated = pl.col("day_number").is_not_null() & (pl.col("captured_at_basis") == Basis.MTIME.value)
    return sources.sort(
        "timelapse",
        pl.when(undated).then("day_number").fill_null(-1),
        pl.when(undated).then("time_of_day_s").fill_null(-1),
        "captured_at",
        "source_name",
    )
