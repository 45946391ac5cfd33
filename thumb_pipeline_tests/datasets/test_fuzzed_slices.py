"""Files of slices with anything in them: each is named, or says what it said."""

import io
from datetime import UTC
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thumb_pipeline.datasets import vetting
from thumb_pipeline.datasets.schemas import (
    WHOLE_LIBRARY,
    TableSchema,
)
from thumb_pipeline.datasets.slices import Table
from thumb_pipeline_tests.datasets.sound_tables import (
    TABLES,
    VALUES,
    filled,
    read_or_named,
)
from thumb_pipeline_tests.datasets.test_slices import KEY
from thumb_pipeline_tests.mutations import EDITS, Edit, mutated

pytestmark = pytest.mark.quick


@pytest.fixture(scope="module")
def every_table(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Table, Path, bytes, pl.DataFrame]]:
    """A sound slice of each table: the table, the file, its bytes and its rows."""
    found = {}
    for schema in TABLES:
        things, file = filled(schema, tmp_path_factory.mktemp(schema.name))
        rows = things.read([WHOLE_LIBRARY if schema.is_of_library else KEY])
        found[schema.name] = things, file, file.read_bytes(), rows
    return found


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(TABLES), EDITS, st.sampled_from(TABLES))
def test_a_spoiled_file_is_named_or_says_what_it_said(
    every_table: dict[str, tuple[Table, Path, bytes, pl.DataFrame]],
    schema: TableSchema,
    edits: list[Edit],
    other: TableSchema,
) -> None:
    things, file, data, rows = every_table[schema.name]
    vetting._vetted.clear()
    file.write_bytes(mutated(data, edits, every_table[other.name][2]))
    found = read_or_named(things, file)
    assert found is None or found.equals(rows)


ANY = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.booleans(),
    st.text(max_size=20),
    st.binary(max_size=8),
    st.datetimes(timezones=st.just(UTC)),
    st.sampled_from(["../../x", "frames/a", "%", "camera-1/timelapse-1", "made", "settled", ""]),
)


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(TABLES),
    st.dictionaries(
        st.sampled_from(["timelapse", *VALUES, "state", "reason", "_removed", "_sequence", "more"]), ANY, max_size=3
    ),
)
def test_any_values_in_any_columns_are_named_or_read(
    every_table: dict[str, tuple[Table, Path, bytes, pl.DataFrame]], schema: TableSchema, changed: dict[str, Any]
) -> None:
    things, file, _, rows = every_table[schema.name]
    vetting._vetted.clear()
    rows = rows.with_columns(_sequence=pl.lit(1, pl.Int64), _removed=pl.lit(False))
    for name, value in changed.items():
        kind = rows.schema.get(name) if value is None else None
        rows = rows.with_columns(pl.Series(name, [value] * rows.height, dtype=kind))
    buffer = io.BytesIO()
    rows.write_parquet(buffer)
    file.write_bytes(buffer.getvalue())
    found = read_or_named(things, file)
    if found is not None:
        assert found.schema == things.schema.columns
        assert len(found.to_dicts()) <= rows.height
        assert schema.is_of_library or set(found["timelapse"]) <= {KEY}
