"""Files of any content in a slice: each way to use the slice names the file and what helps; no other slice minds."""

import io
import os
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
    VERDICTS,
    VERIFIED,
    WHOLE_LIBRARY,
    TableSchema,
)
from thumb_pipeline.datasets.slices import SliceDamaged
from thumb_pipeline_tests.datasets.sound_tables import (
    NOW,
    OTHER,
    TABLES,
    assert_refused,
    filled,
    read_or_named,
    sound_rows,
    table_of,
    uses,
    without_seal,
)
from thumb_pipeline_tests.datasets.test_slices import KEY

pytestmark = pytest.mark.quick


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
    assert_refused(things, file, "it holds impossible rows", key)
    file.write_bytes(good)
    before = things.read([key])
    with pytest.raises(SliceDamaged, match="cannot take impossible rows"):
        things.merge(key, rows)
    assert things.read([key]).equals(before)


def test_an_instant_beyond_python_is_named(tmp_path: Path) -> None:
    things, file = filled(MANIFEST, tmp_path)
    file.write_bytes(without_seal(sound_rows(MANIFEST), recorded_at=pl.lit(2**62).cast(pl.Datetime("us", "UTC"))))
    assert_refused(things, file, "recorded_at has an impossible value")


def test_a_key_in_two_rows_is_named(tmp_path: Path) -> None:
    things, file = filled(MANIFEST, tmp_path)
    file.write_bytes(without_seal(pl.concat([sound_rows(MANIFEST)] * 2)))
    assert_refused(things, file, "two of them have the same key")


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
