"""Tables with rows of every kind that can be, and all that is asked of one; for the tests of hostile files."""

import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from thumb_pipeline.datasets import vetting
from thumb_pipeline.datasets.schemas import (
    CHECKED,
    DAMAGE,
    FINDINGS,
    INVENTORY,
    MANIFEST,
    PLAN,
    REPORTED,
    VERDICTS,
    VERIFIED,
    WHOLE_LIBRARY,
    TableSchema,
)
from thumb_pipeline.datasets.slices import SliceDamaged, Table
from thumb_pipeline_tests.datasets.test_slices import KEY, lock, put

OTHER = "camera-1/timelapse-2"
NOW = datetime(2026, 11, 30, tzinfo=UTC)
TABLES = (INVENTORY, MANIFEST, PLAN, FINDINGS, VERDICTS, VERIFIED, DAMAGE, CHECKED, REPORTED)

VALUES: dict[str, Any] = {
    "source_name": "a.jpg",
    "variant": "small",
    "variant_path": "smalls/a.jpg_small.jpg",
    "n_bytes": 700,
    "mtime_ns": 1_700_000_000_000_000_000,
    "captured_at": NOW,
    "captured_at_basis": "name",
    "found_at": NOW,
    "checked_at": NOW,
    "width_px": 80,
    "height_px": 60,
    "render_ms": 1.5,
    "verdict": 2**63,
}
WORDS = {"inventory": "settled", "manifest": "made", "findings": "corrupt", "damage": "corrupt"}


def table_of(schema: TableSchema, root: Path) -> Table:
    return Table(schema=schema, root=str(root), publish=put, locked=lock)


def sound_rows(schema: TableSchema, key: str = KEY, n: int = 3, **changed: Any) -> pl.DataFrame:
    """Rows that can be, with another value in some columns."""
    given = {**VALUES, "timelapse": key, "state": WORDS.get(schema.name), "reason": "missing", **changed}
    if schema.name != "plan" and "reason" not in changed:
        del given["reason"]
    rows = []
    for number in range(n):
        row = {name: given.get(name) for name in schema.columns}
        for name in ("source_name", "variant") if number else ():
            if name in schema.columns and (name in schema.key) and name not in changed:
                row[name] = f"{number}-{row[name]}"
        rows.append(row)
    if "timelapse" in schema.key:
        rows = rows[:1]
    return pl.DataFrame(rows, schema=schema.columns)


def filled(schema: TableSchema, root: Path) -> tuple[Table, Path]:
    """A table with a sound slice, and its one file."""
    things = table_of(schema, root)
    key = WHOLE_LIBRARY if schema.is_of_library else KEY
    things.merge(key, sound_rows(schema))
    (file,) = (root / schema.name / key).glob("*.parquet")
    return things, file


def without_seal(rows: pl.DataFrame, *, sequence: Any = 1, removed: Any = False, **columns: Any) -> bytes:
    """A file of a slice as a version without seals wrote it, or somebody else."""
    buffer = io.BytesIO()
    rows.with_columns(
        _sequence=pl.lit(sequence, pl.Int64), _removed=pl.lit(removed, pl.Boolean), **columns
    ).write_parquet(buffer)
    return buffer.getvalue()


def uses(things: Table, key: str = KEY) -> dict[str, Callable[[], object]]:
    """Every way to use a slice, but for forgetting it."""
    rows = sound_rows(things.schema)
    found: dict[str, Callable[[], object]] = {
        "read": lambda: things.read([key]),
        "query": lambda: things.query([key], lambda known: known.select(pl.len())),
        "merge": lambda: things.merge(key, rows),
        "drop": lambda: things.drop(key, only_if_empty=True),
    }
    if "source_name" in things.schema.columns:
        found["named"] = lambda: things.read([key], names=["a.jpg"])
        found["resolve"] = lambda: things.merge(key, rows, resolve=lambda _, incoming: incoming)
        found["take out"] = lambda: things.take_out(key, rows)
    return found


def assert_refused(things: Table, file: Path, words: str = "", key: str = KEY) -> None:
    """Fails unless each way to use the slice names the file, and changes nothing."""
    before = sorted(file.parent.iterdir())
    for how, use in uses(things, key).items():
        vetting._vetted.clear()
        with pytest.raises(SliceDamaged) as told:
            use()
        assert str(file) in str(told.value), how
        assert words in str(told.value), how
        assert str(told.value).isprintable(), how
    assert sorted(file.parent.iterdir()) == before


def read_or_named(things: Table, file: Path) -> pl.DataFrame | None:
    """The rows of a slice, or None where its file is named."""
    try:
        return things.read([WHOLE_LIBRARY if things.schema.is_of_library else KEY])
    except SliceDamaged as damaged:
        if str(file) not in str(damaged):
            raise
        return None
