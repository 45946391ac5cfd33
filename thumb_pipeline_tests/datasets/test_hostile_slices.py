"""Files of any content in a slice: each way to use the slice names the file and what helps; no other slice minds."""

import io
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from thumb_pipeline_tests.mutations import EDITS, Edit, mutated

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


@pytest.mark.parametrize("schema", TABLES, ids=lambda schema: schema.name)
def test_sound_rows_of_every_table_can_be_used_sealed_or_not(schema: TableSchema, tmp_path: Path) -> None:
    things, file = filled(schema, tmp_path)
    key = WHOLE_LIBRARY if schema.is_of_library else KEY
    rows = things.read([key])
    file.write_bytes(without_seal(rows))
    assert things.read([key]).equals(rows)
    for use in uses(things, key).values():
        use()


NOT_PARQUET: dict[str, bytes] = {
    "empty": b"",
    "words": b"these are no rows",
    "magic": b"PAR1PAR1",
    "a footer longer than all": b"PAR1" + b"\xff\xff\xff\xffPAR1",
    "a footer of zeros": b"PAR1" + bytes(64) + b"\x40\0\0\0PAR1",
}


@pytest.mark.parametrize("what", NOT_PARQUET)
def test_what_is_no_table_is_named(what: str, tmp_path: Path) -> None:
    things, file = filled(MANIFEST, tmp_path)
    file.write_bytes(NOT_PARQUET[what])
    assert_refused(things, file, "delete its folder")


def test_a_file_cut_in_half_is_named(tmp_path: Path) -> None:
    things, file = filled(MANIFEST, tmp_path)
    data = file.read_bytes()
    for length in (len(data) // 2, len(data) - 1, 4):
        file.write_bytes(data[:length])
        assert_refused(things, file, "delete its folder")


def test_a_file_with_one_other_bit_is_named_wherever_it_is(tmp_path: Path) -> None:
    things, file = filled(INVENTORY, tmp_path)
    data = file.read_bytes()
    for at in range(0, len(data), 37):
        file.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        vetting._vetted.clear()
        rows = read_or_named(things, file)
        assert rows is None or rows.equals(sound_rows(INVENTORY))  # in the seal's own name: then all is read


@pytest.mark.parametrize("is_link", [False, True])
def test_another_slice_s_file_is_named(is_link: bool, tmp_path: Path) -> None:
    things, file = filled(MANIFEST, tmp_path)
    things.merge(OTHER, sound_rows(MANIFEST, OTHER))
    (other,) = (tmp_path / MANIFEST.name / OTHER).glob("*.parquet")
    file.unlink()
    os.link(other, file) if is_link else file.write_bytes(other.read_bytes())
    assert_refused(things, file, "it was written as a part of manifest camera-1/timelapse-2")


def test_another_table_s_file_is_named(tmp_path: Path) -> None:
    things, file = filled(MANIFEST, tmp_path)
    _, other = filled(INVENTORY, tmp_path)
    file.write_bytes(other.read_bytes())
    assert_refused(things, file, "it was written as a part of inventory")
    file.write_bytes(without_seal(sound_rows(INVENTORY)))
    assert_refused(things, file)


def test_a_column_of_a_newer_version_is_named_with_the_version_to_use(tmp_path: Path) -> None:
    things, file = filled(MANIFEST, tmp_path)
    file.write_bytes(without_seal(sound_rows(MANIFEST), thumb=pl.lit(1)))
    assert_refused(things, file, "a newer version of this program wrote it; use that version")
    newer = TableSchema(name="manifest", key=MANIFEST.key, columns={**MANIFEST.columns, "thumb": pl.Int64})
    file.unlink()
    table_of(newer, tmp_path).merge(KEY, sound_rows(MANIFEST).with_columns(thumb=pl.lit(1)))
    (file,) = file.parent.glob("*.parquet")
    assert_refused(things, file, "a newer version of this program wrote it; use that version")


@pytest.mark.parametrize("name", ["timelapse", "source_name", "variant", "state", "_sequence", "_removed"])
def test_a_file_without_a_column_of_the_key_is_named(name: str, tmp_path: Path) -> None:
    things, file = filled(MANIFEST, tmp_path)
    buffer = io.BytesIO()
    rows = sound_rows(MANIFEST).with_columns(_sequence=pl.lit(1, pl.Int64), _removed=pl.lit(False))
    rows.drop(name).write_parquet(buffer)
    file.write_bytes(buffer.getvalue())
    assert_refused(things, file, f"it lacks the column {name}")


TYPES: dict[str, pl.Expr] = {
    "number": pl.lit(1),
    "list": pl.lit([["a"]]).implode(),
    "struct": pl.struct(a=pl.lit(1)),
    "bytes": pl.lit(b"a"),
    "categories": pl.lit("a").cast(pl.Categorical),
    "decimal": pl.lit("1").cast(pl.Decimal(38, 2)),
    "nothing": pl.lit(None, pl.Null),
    "instant": pl.lit(NOW),
    "local time": pl.lit(NOW).dt.convert_time_zone("Europe/Berlin"),
    "duration": pl.lit(NOW) - pl.lit(NOW),
}


@pytest.mark.parametrize("name", ["source_name", "n_bytes", "recorded_at", "timelapse"])
@pytest.mark.parametrize("kind", TYPES)
def test_a_column_of_another_type_is_named(kind: str, name: str, tmp_path: Path) -> None:
    things, file = filled(MANIFEST, tmp_path)
    if (kind, name) == ("instant", "recorded_at"):
        return
    file.write_bytes(without_seal(sound_rows(MANIFEST), **{name: TYPES[kind]}))
    assert_refused(things, file, f"its column {name} is of type")


ROWS: list[tuple[TableSchema, dict[str, Any]]] = [
    *((schema, {"timelapse": OTHER}) for schema in (INVENTORY, MANIFEST, FINDINGS)),
    *((schema, {"timelapse": value}) for schema in (VERDICTS, VERIFIED) for value in ("../../x", "", None, "a" * 400)),
    *(
        (schema, {"source_name": value})
        for schema in (INVENTORY, MANIFEST, DAMAGE)
        for value in ("../x", "a/b", "..", ".", "", "a\nb", "a\0b", "100%", "%2F", "%41", "%GG", "x" * 256, None)
    ),
    *(
        (MANIFEST, {"variant_path": value})
        for value in ("../../x", "smalls", "smalls/", "/etc/passwd", "smalls/../x", "../smalls", "frames/a.jpg", "")
    ),
    *((MANIFEST, {"variant_path": value}) for value in ("Frames/a.jpg", "smalls/%2e%2E", "smalls/a\x1b", "./a", "a/.")),
    *((PLAN, {"superseded_path": value}) for value in ("../x", "frames/a.jpg")),
    *((PLAN, {"superseded_source": value}) for value in ("../x", "%")),
    *((schema, {"state": value}) for schema in (INVENTORY, MANIFEST, FINDINGS, DAMAGE) for value in ("banana", None)),
    (PLAN, {"reason": "banana"}),
    (MANIFEST, {"origin": "banana"}),
    *((schema, {"n_bytes": -1}) for schema in (INVENTORY, MANIFEST, FINDINGS)),
    *((MANIFEST, {"width_px": value}) for value in (0, -1)),
    *((MANIFEST, {"render_ms": value}) for value in (float("nan"), float("inf"), -1.0)),
    *((MANIFEST, {"retry_at": value}) for value in (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC))),
    (INVENTORY, {"captured_at": None}),
    (VERDICTS, {"missing": -1}),
]
"""Tables and values that no stage expects in them."""


@pytest.mark.parametrize(("schema", "changed"), ROWS, ids=lambda value: getattr(value, "name", repr(value)))
def test_rows_that_cannot_be_are_neither_read_nor_written(
    schema: TableSchema, changed: dict[str, Any], tmp_path: Path
) -> None:
    things, file = filled(schema, tmp_path)
    key = WHOLE_LIBRARY if schema.is_of_library else KEY
    good, rows = file.read_bytes(), sound_rows(schema, n=1, **changed)
    file.write_bytes(without_seal(rows))
    assert_refused(things, file, "it holds rows that cannot be", key)
    file.write_bytes(good)
    before = things.read([key])
    with pytest.raises(SliceDamaged, match="not given rows that cannot be"):
        things.merge(key, rows)
    assert things.read([key]).equals(before)


def test_an_instant_beyond_python_is_named(tmp_path: Path) -> None:
    things, file = filled(MANIFEST, tmp_path)
    file.write_bytes(without_seal(sound_rows(MANIFEST), recorded_at=pl.lit(2**62).cast(pl.Datetime("us", "UTC"))))
    assert_refused(things, file, "recorded_at cannot be that")


def test_a_key_in_two_rows_is_named(tmp_path: Path) -> None:
    things, file = filled(MANIFEST, tmp_path)
    file.write_bytes(without_seal(pl.concat([sound_rows(MANIFEST)] * 2)))
    assert_refused(things, file, "a key stands in two of them")


@pytest.mark.parametrize("columns", [{"sequence": None}, {"removed": None}])
def test_rows_of_which_nothing_tells_whether_they_hold_are_named(columns: dict[str, Any], tmp_path: Path) -> None:
    things, file = filled(MANIFEST, tmp_path)
    file.write_bytes(without_seal(sound_rows(MANIFEST), **columns))
    assert_refused(things, file, "_sequence or _removed is empty")


def test_names_that_are_no_utf_8_are_named(tmp_path: Path) -> None:
    things, file = filled(MANIFEST, tmp_path)
    buffer = io.BytesIO()
    rows = sound_rows(MANIFEST, decoder="XYZZY").with_columns(_sequence=pl.lit(1, pl.Int64), _removed=pl.lit(False))
    rows.write_parquet(buffer, compression="uncompressed", statistics=False)
    file.write_bytes(buffer.getvalue().replace(b"XYZZY", b"X\xed\xa0\x80Y"))
    assert_refused(things, file)


def varint(number: int) -> bytes:
    made = b""
    while number >= 0x80:
        made += bytes([number & 0x7F | 0x80])
        number >>= 7
    return made + bytes([number])


@pytest.mark.parametrize("n_rows", [10**7, 10**9, 10**12, 2**62])
def test_a_footer_that_lies_about_its_rows_is_named(n_rows: int, tmp_path: Path) -> None:
    things, file = filled(CHECKED, tmp_path)
    rows = pl.concat([sound_rows(CHECKED, n=1, source_name=f"{n}.jpg") for n in range(300)])
    data = without_seal(rows)
    length = int.from_bytes(data[-8:-4], "little")
    body, footer = data[: -8 - length], data[-8 - length : -8]
    told = varint(2 * 300)  # a signed number, zigzag
    places = [at for at in range(len(footer)) if footer.startswith(told, at)]
    assert len(places) >= 5
    for at in places:
        lie = footer[:at] + varint(2 * n_rows) + footer[at + len(told) :]
        file.write_bytes(body + lie + len(lie).to_bytes(4, "little") + b"PAR1")
        assert_refused(things, file)


def in_the_place_of(file: Path, kind: str) -> None:
    file.unlink()
    target = file.with_name("target")
    target.write_bytes(b"mine")
    {
        "folder": file.mkdir,
        "full folder": lambda: file.joinpath("inner").mkdir(parents=True),
        "pipe": lambda: os.mkfifo(file),
        "link": lambda: file.symlink_to(target),
        "link to nothing": lambda: file.symlink_to("not there"),
        "loop": lambda: file.symlink_to(file.name),
    }[kind]()


KINDS = ["folder", "full folder", "pipe", "link", "link to nothing", "loop"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_is_named_and_not_waited_for(kind: str, tmp_path: Path) -> None:
    things, file = filled(MANIFEST, tmp_path)
    in_the_place_of(file, kind)
    assert_refused(things, file, "no regular file")


@pytest.mark.parametrize("kind", KINDS)
def test_a_slice_with_what_is_no_file_can_be_forgotten_unless_it_holds_something(kind: str, tmp_path: Path) -> None:
    things, file = filled(MANIFEST, tmp_path)
    in_the_place_of(file, kind)
    if "folder" in kind:
        with pytest.raises(SliceDamaged, match="move it away"):
            things.drop(KEY)
        assert file.is_dir()
        return
    assert things.drop(KEY)
    assert things.keys() == []
    assert file.with_name("target").read_bytes() == b"mine"


def test_a_number_that_no_merge_has_is_named_and_nothing_is_lost(tmp_path: Path) -> None:
    things, file = filled(MANIFEST, tmp_path)
    last = file.with_name("9999999999-9999999999.parquet")
    last.write_bytes(file.read_bytes())
    with pytest.raises(SliceDamaged, match=last.name):
        things.merge(KEY, sound_rows(MANIFEST, n=1, source_name="new.jpg"))
    assert file.exists()
    last.unlink()
    for name in ("0000000009-0000000003.parquet", "\u0660" * 10 + "-0000000001.parquet", "12-13.parquet"):
        file.with_name(name).write_bytes(b"of another form")
    assert things.read([KEY]).height == 3


def test_a_file_of_others_in_a_slice_stays(tmp_path: Path) -> None:
    things, file = filled(MANIFEST, tmp_path)
    file.with_name("notes.txt").write_text("mine")
    for number in range(30):
        things.merge(KEY, sound_rows(MANIFEST, n=1, source_name=f"{number}.jpg"))
    assert things.drop(KEY)
    assert file.with_name("notes.txt").read_text() == "mine"


def test_a_damaged_slice_costs_no_other(tmp_path: Path) -> None:
    things, file = filled(MANIFEST, tmp_path)
    things.merge(OTHER, sound_rows(MANIFEST, OTHER))
    file.write_bytes(b"no table")
    assert things.keys() == [KEY, OTHER]
    assert things.read([OTHER]).height == 3
    things.merge(OTHER, sound_rows(MANIFEST, OTHER, n=1, source_name="new.jpg"))
    with pytest.raises(SliceDamaged, match=str(file)):
        things.read([OTHER, KEY])


def test_a_slice_without_seals_is_sealed_by_the_next_merge(tmp_path: Path) -> None:
    things, file = filled(MANIFEST, tmp_path)
    rows = pl.concat([sound_rows(MANIFEST, n=1, source_name=f"{n}.jpg") for n in range(100)])
    file.write_bytes(without_seal(rows))
    things.merge(KEY, sound_rows(MANIFEST, n=1, source_name="new.jpg"))
    (only,) = file.parent.glob("*.parquet")
    assert b"thumb_pipeline:seal" in only.read_bytes()
    assert things.read([KEY]).height == 101


HOSTILE_KEYS = [
    *(
        "../../cameras",
        "..",
        "",
        "/",
        "camera-1",
        "camera-1/",
        "camera-1/timelapse-1/..",
        "camera-1/../x",
        "/etc/passwd",
    ),
    *(
        "camera-1/timelapse-1\0",
        "camera-1\\timelapse-1",
        "camera-1/timelapse-\udcff",
        "library/all",
        "camera-1/timelapse-" + "1" * 300,
    ),
]


@pytest.mark.parametrize("key", HOSTILE_KEYS)
def test_a_key_that_is_none_never_becomes_a_path(key: str, tmp_path: Path) -> None:
    things = table_of(MANIFEST, tmp_path / "datasets")
    for use in (lambda: things.holds(key), lambda: things.drop(key), *uses(things, key).values()):
        with pytest.raises(ValueError, match="is no slice of the table manifest"):
            use()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="is no slice of the table verdicts"):
        table_of(VERDICTS, tmp_path).read([KEY])


def test_folders_that_are_no_slices_are_not_among_the_keys(tmp_path: Path) -> None:
    things, file = filled(MANIFEST, tmp_path)
    for folder in ("x y/z", "camera-1/..b..", "camera-1/else", "\udcff/timelapse-1"):
        path = tmp_path / MANIFEST.name / folder
        path.mkdir(parents=True)
        (path / file.name).write_bytes(b"mine")
    (tmp_path / MANIFEST.name / "camera-1" / "timelapse-9").write_text("a file")
    assert things.keys() == [KEY]


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
