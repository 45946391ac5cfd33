"""Dates whole tables of sources: by name, by EXIF, by the start date that EXIF implies, or by mtime.

The rules for one source are in `domain.capture_times`.
"""

from datetime import date

import polars as pl

from thumb_pipeline.datasets.schemas import INSTANT, INVENTORY
from thumb_pipeline.datasets.slices import Table
from thumb_pipeline.domain.capture_times import Basis, Clock, capture, exif_instant, implied_start


def dated(rows: pl.DataFrame, clock: Clock, implied: date | None) -> pl.DataFrame:
    """Inventory rows of one timelapse, with `captured_at` and the columns that go with it computed anew.

    Args:
        rows: with source_name, exif_captured_at, mtime_ns; other columns are kept.
        clock: the timelapse's.
        implied: see `read_implied_dates`.
    """
    captures = [
        capture(name, exif, mtime_ns, clock, implied)
        for name, exif, mtime_ns in rows.select("source_name", "exif_captured_at", "mtime_ns").iter_rows()
    ]
    return rows.with_columns(
        pl.Series("captured_at", [c.captured_at for c in captures], INSTANT),
        pl.Series("captured_at_basis", [c.basis.value for c in captures], pl.String),
        pl.Series("day_number", [c.day_number for c in captures], pl.Int32),
        pl.Series("time_of_day_s", [c.time_of_day_s for c in captures], pl.Int32),
        clock=pl.lit(clock.name),
    ).select(list(INVENTORY.columns))


def read_implied_dates(inventory: Table, key: str, clock: Clock) -> date | None:
    """The start date on which most frames with a day number and an EXIF time agree; None where no frame has both."""
    has_both = pl.col("exif_captured_at").is_not_null() & pl.col("day_number").is_not_null()
    both = inventory.query([key], lambda rows: rows.filter(has_both).select("day_number", "exif_captured_at"))
    days = [(day, exif_instant(text, clock.timezone)) for day, text in both.iter_rows()]
    implied = [implied_start(day, instant, clock.timezone) for day, instant in days if instant is not None]
    starts = [start for start in implied if start is not None]
    return max(sorted(set(starts)), key=starts.count) if starts else None


def apply_implied_start(inventory: Table, key: str, clock: Clock) -> None:
    """Dates numbered frames without EXIF by the start date that the EXIF of the others implies."""
    implied = read_implied_dates(inventory, key, clock) if clock.start_date is None else None
    if implied is None:
        return
    has_none = (pl.col("captured_at_basis") != Basis.EXIF.value) & pl.col("day_number").is_not_null()

    def redated(rows: pl.DataFrame) -> pl.DataFrame:
        """The rows that this start date gives another time or basis."""
        again = dated(rows.filter(has_none), clock, implied)
        return again.join(rows, on=["source_name", "captured_at", "captured_at_basis"], how="anti")

    rows = redated(inventory.read([key], where=has_none))
    if not rows.is_empty():
        inventory.merge(key, rows, resolve=lambda current, _: redated(current))


def in_capture_order(sources: pl.LazyFrame) -> pl.LazyFrame:
    """Sorts inventory rows by capture: by instant, then the numbered ones by day and time, whatever dates them."""
    return sources.sort(
        "timelapse",
        pl.col("day_number").fill_null(-1),
        pl.col("time_of_day_s").fill_null(-1),
        "captured_at",
        "source_name",
    )
