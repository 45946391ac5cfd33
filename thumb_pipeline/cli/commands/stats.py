"""`thumb-pipeline stats`: coverage and disk usage, counted afresh."""

import polars as pl
import typer

from thumb_pipeline.cli.console import (
    JsonOption,
    LibraryOption,
    open_chosen_library,
    print_json,
    print_table,
)
from thumb_pipeline.domain.quantities import counted, human_bytes
from thumb_pipeline.stages.verification.statistics import Measurement, measure


def stats(library: LibraryOption = None, json: JsonOption = False) -> None:
    """Count how complete the library is and what it takes on disk."""
    measured = measure(open_chosen_library(library))
    if json:
        print_json(
            {
                "sources": measured.n_sources,
                "timelapses": measured.n_timelapses,
                "coverage": _by_variant(measured.coverage),
                "disk_usage": _by_variant(measured.disk_usage),
            }
        )
        return
    print_coverage(measured)
    rows = [[name, f"{n:,}", human_bytes(n_bytes)] for name, n, n_bytes in measured.disk_usage.iter_rows()]
    print_table("Disk usage", ["variant", "files", "bytes"], rows)
    typer.echo(f"{counted(measured.n_sources, 'source')} in {counted(measured.n_timelapses, 'timelapse')}")


def print_coverage(measured: Measurement) -> None:
    """The coverage table, by timelapse where there are few, and in all."""
    by_timelapse = measured.coverage_by_timelapse
    rows = []
    if by_timelapse["timelapse"].n_unique() <= _SHOWN_TIMELAPSES:
        order = pl.Enum(measured.coverage["variant"])  # as in the settings, and as in the total
        ordered = by_timelapse.sort("timelapse", pl.col("variant").cast(order))
        rows = [_row(f"{row[0]}  {row[1]}", *row[2:]) for row in ordered.iter_rows()]
    rows += [_row(f"all  {row[0]}", *row[1:]) for row in measured.coverage.iter_rows()]
    print_table("Coverage", ["timelapse  variant", "required", "present", "ratio"], rows)


_SHOWN_TIMELAPSES = 20


def _row(name: str, required: int, present: int, ratio: float | None) -> list[str]:
    # rounded down, so that 100 % means all
    shown = "-" if ratio is None else f"{int(ratio * 1000) / 10:.1f} %"
    return [name, f"{required:,}", f"{present:,}", shown]


def _by_variant(rows: pl.DataFrame) -> dict[str, dict[str, int | float | None]]:
    return {row.pop("variant"): row for row in rows.to_dicts()}
