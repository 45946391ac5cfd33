"""Slices against a plain dict: merges, removals, folds, other processes and kills."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thumb_pipeline.datasets import slices
from thumb_pipeline.datasets.schemas import WHOLE_LIBRARY, TableSchema
from thumb_pipeline.datasets.slices import Table
from thumb_pipeline.storage import leases, publishing

pytestmark = pytest.mark.quick

KEY, OTHER = "camera-1/timelapse-1", "camera-2/timelapse-2"
SCHEMA = TableSchema(
    name="things",
    key=("source_name", "variant"),
    columns={"timelapse": pl.String, "source_name": pl.String, "variant": pl.String, "n": pl.Int64},
)
Model = dict[tuple[str, str], int]


def put(target: bytes, data: bytes) -> object:
    return publishing.publish(target, data, writer="test")


def lock(path: str) -> AbstractContextManager[None]:
    return leases.lock(path)


def table(root: Path) -> Table:
    return Table(schema=SCHEMA, root=str(root), publish=put, locked=lock)


def rows(values: Model, key: str = KEY) -> pl.DataFrame:
    return pl.DataFrame(
        [(key, name, variant, n) for (name, variant), n in values.items()], schema=SCHEMA.columns, orient="row"
    )


def gone(names: set[tuple[str, str]], key: str = KEY) -> pl.DataFrame:
    return rows(dict.fromkeys(names, 0), key).drop("n")


def contents(things: Table, key: str = KEY, **how: Any) -> Model:
    found = things.read([key], **how)
    values = {(name, variant): n for _, name, variant, n in found.iter_rows()}
    assert len(values) == found.height, "a key stands in two rows"
    return values


def files(root: Path, key: str = KEY) -> list[str]:
    return sorted(name for name in os.listdir(root / SCHEMA.name / key) if name != ".lock")


def test_files_from_before_a_column_was_added_have_nothing_in_it(tmp_path: Path) -> None:
    old = table(tmp_path)
    old.merge(KEY, rows({("s1", "a"): 1, ("s2", "a"): 2, **{(f"t{n}", "a"): n for n in range(40)}}))
    old.merge(KEY, rows({("s2", "a"): 3}))
    start, end = list(SCHEMA.columns.items())[:2], list(SCHEMA.columns.items())[2:]
    schema = TableSchema(name="things", key=SCHEMA.key, columns={**dict(start), "added": pl.String, **dict(end)})
    new = Table(schema=schema, root=str(tmp_path), publish=put, locked=lock)
    assert set(new.read([KEY])["added"]) == {None}
    for number in range(40):  # folds both kinds of files
        changed = rows({("s1", "a"): number}).with_columns(added=pl.lit(str(number))).select(list(schema.columns))
        new.merge(KEY, changed, resolve=lambda current, incoming: incoming if current.height else current)
        found = new.read([KEY], names=["s1", "s2"]).sort("source_name").select("source_name", "added", "n")
        assert found.rows() == [("s1", str(number), number), ("s2", None, 3)]
    assert new.read([KEY]).height == 42


WHO = st.tuples(st.sampled_from([f"s{n}" for n in range(12)]), st.sampled_from(["a", "b"]))
MERGE = st.tuples(st.dictionaries(WHO, st.integers(0, 1000), max_size=6), st.sets(WHO, max_size=3))


@settings(deadline=None, max_examples=30)
@given(st.lists(MERGE, max_size=40))
def test_any_series_of_merges_and_removals_equals_a_dict(
    tmp_path_factory: pytest.TempPathFactory, merges: list[tuple[Model, set[tuple[str, str]]]]
) -> None:
    things = table(tmp_path_factory.mktemp("slices"))
    model: Model = {}
    for added, removed in merges:
        removed -= set(added)
        things.merge(KEY, rows(added), removed=gone(removed))
        model = {who: n for who, n in {**model, **added}.items() if who not in removed}
        assert contents(things) == model


@settings(deadline=None, max_examples=8)
@given(st.lists(MERGE, min_size=20, max_size=50), st.randoms(use_true_random=False))
def test_one_row_merges_over_a_large_base_equal_a_dict(
    tmp_path_factory: pytest.TempPathFactory,
    merges: list[tuple[Model, set[tuple[str, str]]]],
    chance: random.Random,
) -> None:
    root = tmp_path_factory.mktemp("slices")
    things = table(root)
    model: Model = {(f"base{n}", "a"): n for n in range(1500)}
    things.merge(KEY, rows(model))
    for added, removed in merges:
        lost = {*(who for who in removed if who not in added), (f"base{chance.randrange(1500)}", "a")}
        things.merge(KEY, rows(added), removed=gone(lost))
        model = {who: n for who, n in {**model, **added}.items() if who not in lost}
    assert contents(things) == model
    assert len(files(root)) < 20
    wanted = [f"s{n}" for n in range(4)]
    assert contents(things, names=wanted) == {who: n for who, n in model.items() if who[0] in wanted}


def test_a_slice_that_was_never_written_has_no_rows(tmp_path: Path) -> None:
    assert contents(table(tmp_path)) == {}
    assert table(tmp_path).read([]).schema == SCHEMA.columns
    assert table(tmp_path).keys() == []


def test_nothing_to_merge_writes_nothing(tmp_path: Path) -> None:
    table(tmp_path).merge(KEY, rows({}), removed=gone(set()))
    assert files(tmp_path) == []


def test_removing_what_is_not_there_changes_nothing(tmp_path: Path) -> None:
    things = table(tmp_path)
    things.merge(KEY, rows({}), removed=gone({("x", "a")}))
    assert contents(things) == {}


def test_a_removal_alone_is_decided_by_the_resolver_of_no_rows(tmp_path: Path) -> None:
    things = table(tmp_path)
    things.merge(KEY, rows({("x", "a"): 1, ("y", "a"): 2}))
    things.merge(KEY, rows({}), removed=gone({("x", "a")}), resolve=lambda _, incoming: incoming)
    assert contents(things) == {("y", "a"): 2}


def test_slices_of_other_timelapses_are_left_alone(tmp_path: Path) -> None:
    things, other = table(tmp_path), "camera-1/timelapse-2"
    things.merge(KEY, rows({("x", "a"): 1}))
    things.merge(other, rows({("x", "a"): 2}, other))
    things.merge(other, rows({}), removed=gone({("x", "a")}, other))
    assert contents(things) == {("x", "a"): 1}
    assert things.keys() == [KEY, other]


def test_several_slices_are_read_at_once(tmp_path: Path) -> None:
    things, other = table(tmp_path), "camera-2/timelapse-2"
    things.merge(KEY, rows({("x", "a"): 1}))
    things.merge(other, rows({("x", "a"): 2}, other))
    assert sorted(things.read([KEY, other, "camera-3/timelapse-3"])["n"]) == [1, 2]


def test_a_question_sees_the_current_rows_and_nothing_of_how_they_are_kept(tmp_path: Path) -> None:
    things = table(tmp_path)
    things.merge(KEY, rows({("x", "a"): 1, **{(f"s{n}", "a"): 0 for n in range(50)}}))
    things.merge(KEY, rows({("x", "a"): 2}))
    assert things.query([KEY], lambda found: found.select(pl.col("n").sum())).item() == 2
    assert things.read([KEY], where=pl.col("n") > 0).rows() == [(KEY, "x", "a", 2)]
    assert things.read([KEY]).columns == list(SCHEMA.columns)


def test_what_was_merged_after_a_mark_is_told_by_the_number_of_its_merge_however_the_slice_is_folded(
    tmp_path: Path,
) -> None:
    things = table(tmp_path)
    assert things.last_merge(KEY) == 0
    things.merge(KEY, rows({(f"s{n}", "a"): n for n in range(40)}))
    mark = things.last_merge(KEY)
    for n in range(30):
        things.merge(KEY, rows({(f"s{n}", "a"): -1}))  # small files, folds of these, and a new base
    things.merge(KEY, rows({}), removed=gone({("s0", "a")}))
    found = things.query([KEY], lambda kept: kept.filter(pl.col(slices.MERGE) > mark).select("source_name", "n"))
    assert sorted(found.rows()) == sorted((f"s{n}", -1) for n in range(1, 30))
    assert things.last_merge(KEY) == mark + 31


def test_a_condition_is_asked_of_current_rows_only(tmp_path: Path) -> None:
    things = table(tmp_path)
    things.merge(KEY, rows({("x", "a"): 1, **{(f"s{n}", "a"): 0 for n in range(50)}}))
    things.merge(KEY, rows({("x", "a"): 2}))
    assert things.read([KEY], where=pl.col("n") == 1).is_empty()


def test_the_resolver_decides_over_what_stands_there_now(tmp_path: Path) -> None:
    things = table(tmp_path)
    things.merge(KEY, rows({("x", "a"): 5, ("x", "b"): 7, ("y", "a"): 9}))
    seen: list[Model] = []

    def larger(current: pl.DataFrame, incoming: pl.DataFrame) -> pl.DataFrame:
        seen.append({(name, variant): n for _, name, variant, n in current.iter_rows()})
        both = pl.concat([current, incoming]).group_by("timelapse", "source_name", "variant").agg(pl.col("n").max())
        return both.select(list(SCHEMA.columns))

    things.merge(KEY, rows({("x", "a"): 3, ("x", "b"): 8}), resolve=larger)
    assert seen == [{("x", "a"): 5, ("x", "b"): 7}]
    assert contents(things) == {("x", "a"): 5, ("x", "b"): 8, ("y", "a"): 9}


def test_rows_are_replaced_as_a_whole_also_those_that_came_while_somebody_waited_for_the_lock(tmp_path: Path) -> None:
    things, rival = table(tmp_path), table(tmp_path)
    things.merge(KEY, rows({("s1", "a"): 1, ("s2", "a"): 2}))

    @contextmanager
    def lock_late(path: str) -> Iterator[None]:
        rival.merge(KEY, rows({("s3", "a"): 3}))
        with lock(path):
            yield

    late = Table(schema=SCHEMA, root=str(tmp_path), publish=put, locked=lock_late)
    late.replace(KEY, rows({("s2", "a"): 20}), [KEY])
    assert contents(things) == {("s2", "a"): 20}
    things.replace(KEY, rows({}), [KEY])
    assert contents(things) == {}


def test_rows_of_other_timelapses_in_a_slice_of_the_library_are_not_replaced(tmp_path: Path) -> None:
    schema = TableSchema(name="things", key=("source_name",), columns=SCHEMA.columns, is_of_library=True)
    things = Table(schema=schema, root=str(tmp_path), publish=put, locked=lock)
    for number, key in enumerate((KEY, OTHER)):
        things.replace(WHOLE_LIBRARY, rows({("s1", "a"): number, ("s2", "a"): number}, key), [key])
    things.replace(WHOLE_LIBRARY, rows({("s1", "a"): 7}, KEY), [KEY])
    found = things.read([WHOLE_LIBRARY]).sort("timelapse", "source_name").select("timelapse", "source_name", "n")
    assert found.rows() == [(KEY, "s1", 7), (OTHER, "s1", 1), (OTHER, "s2", 1)]


def test_a_row_that_fails_to_fit_the_schema_leaves_the_slice_as_it_was(tmp_path: Path) -> None:
    things = table(tmp_path)
    things.merge(KEY, rows({("x", "a"): 1}))
    with pytest.raises(pl.exceptions.PolarsError):
        things.merge(KEY, rows({("y", "a"): 1}).with_columns(n=pl.lit("no number")))
    assert contents(things) == {("x", "a"): 1}


def test_one_changed_row_writes_little_whatever_the_size_of_the_slice(tmp_path: Path) -> None:
    written: list[int] = []

    def measured(target: bytes, data: bytes) -> object:
        written.append(len(data))
        return put(target, data)

    things = Table(schema=SCHEMA, root=str(tmp_path), publish=measured, locked=lock)
    things.merge(KEY, rows({(f"IMG_{n:09d}.JPG", "a"): n * 7919 for n in range(100_000)}))
    written.clear()
    for n in range(40):
        things.merge(KEY, rows({(f"IMG_{n:09d}.JPG", "a"): -n}))
    assert len(written) == 40
    assert max(written) < 100_000
    assert len(files(tmp_path)) < 20
    assert things.read([KEY], names=["IMG_000000039.JPG", "IMG_000000040.JPG"])["n"].sort().to_list() == [
        -39,
        40 * 7919,
    ]


@pytest.mark.parametrize("left", ["0000000000-0000000001.parquet", "0000000003-0000000003.parquet", ".tp-dataset-1-1"])
def test_what_a_kill_left_beside_its_successor_is_not_read_and_goes(tmp_path: Path, left: str) -> None:
    things = table(tmp_path)
    for n in range(1, 6):
        things.merge(KEY, rows({("x", "a"): n, **{(f"{n}-{m}", "a"): m for m in range(5 * n)}}))
    folder = tmp_path / SCHEMA.name / KEY
    before = contents(things)
    (newest,) = [name for name in files(tmp_path) if name.startswith("0000000000-")]
    assert int(newest[11:21]) >= 3
    (folder / left).write_bytes((folder / newest).read_bytes())
    assert contents(things) == before
    things.merge(KEY, rows({("z", "a"): 1}))
    assert left not in files(tmp_path)
    assert contents(things) == {**before, ("z", "a"): 1}


def test_other_files_in_a_slice_are_not_read(tmp_path: Path) -> None:
    things = table(tmp_path)
    things.merge(KEY, rows({("x", "a"): 1}))
    (tmp_path / SCHEMA.name / KEY / "notes.txt").write_text("mine")
    (tmp_path / SCHEMA.name / KEY / "1-2.parquet").write_text("no table")
    assert contents(things) == {("x", "a"): 1}


MERGER = """
import random, sys
from pathlib import Path
sys.path.insert(0, sys.argv[4])
from thumb_pipeline_tests.datasets.test_slices import KEY, rows, table
things, name, n_merges = table(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
for n in range(1, n_merges + 1):
    things.merge(KEY, rows({(name, "first"): n, (f"{name}-{n}", "a"): n, (name, "last"): n}))
    print(n, flush=True)
"""


def merger(root: Path, name: str, n_merges: int) -> subprocess.Popen[str]:
    project = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", MERGER, root, name, str(n_merges), project], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def counts(found: Model, name: str) -> tuple[int, int, int]:
    """What the rows of one process say: its first row, its last row, and how many of the others there are."""
    others = [n for who, n in found.items() if who[0].startswith(f"{name}-")]
    assert sorted(others) == list(range(1, len(others) + 1))
    return found.get((name, "first"), 0), found.get((name, "last"), 0), len(others)


@pytest.mark.daemon
def test_two_processes_and_a_reader_see_whole_merges_in_order(tmp_path: Path) -> None:
    things = table(tmp_path)
    processes = {name: merger(tmp_path, name, 60) for name in ("one", "two")}
    before = dict.fromkeys(processes, 0)
    while any(process.poll() is None for process in processes.values()):
        found = contents(things)
        for name in processes:
            first, last, n_others = counts(found, name)
            assert first == last == n_others >= before[name]
            before[name] = n_others
    for process in processes.values():
        process.communicate()
        assert process.returncode == 0
    found = contents(things)
    assert [counts(found, name) for name in processes] == [(60, 60, 60), (60, 60, 60)]


@pytest.mark.daemon
def test_a_kill_at_any_moment_leaves_whole_merges_and_no_older_row(tmp_path: Path) -> None:
    things, chance = table(tmp_path), random.Random(2)
    for attempt in range(6):
        name = f"p{attempt}"
        process = merger(tmp_path, name, 10_000)
        time.sleep(chance.uniform(0.0, 0.25))
        process.send_signal(signal.SIGKILL)
        said, _ = process.communicate()
        promised = len(said.splitlines())
        found = contents(things)
        first, last, n_others = counts(found, name)
        assert first == last == n_others
        assert promised <= n_others <= promised + 1
        things.merge(KEY, rows({("mine", "a"): attempt}))
        assert contents(things) == {**found, ("mine", "a"): attempt}
        assert not [name for name in files(tmp_path) if not name.endswith(".parquet")]


def test_every_table_has_its_key_among_its_columns() -> None:
    from thumb_pipeline.datasets.schemas import INVENTORY, MANIFEST, PLAN

    for schema in (INVENTORY, MANIFEST, PLAN):
        assert {"timelapse", *schema.key} <= set(schema.columns)
        assert dict(schema.empty().schema) == schema.columns


def test_a_dropped_slice_has_no_rows_and_no_key_and_takes_new_rows(tmp_path: Path) -> None:
    things = table(tmp_path)
    for number in range(5):
        things.merge(KEY, rows({(f"{number}.jpg", "small"): number}))
    assert things.drop(KEY)
    assert things.keys() == []
    assert things.read([KEY]).is_empty()
    things.merge(KEY, rows({("b.jpg", "small"): 7}))
    assert contents(things) == {("b.jpg", "small"): 7}
    assert things.drop("camera-9/timelapse-9")


def test_a_slice_with_rows_is_not_dropped_when_only_an_empty_one_may_be(tmp_path: Path) -> None:
    things = table(tmp_path)
    things.merge(KEY, rows({("a.jpg", "small"): 1}))
    assert not things.drop(KEY, only_if_empty=True)
    assert things.keys() == [KEY]
    things.merge(KEY, SCHEMA.empty(), removed=gone({("a.jpg", "small")}))
    assert things.drop(KEY, only_if_empty=True)
    assert things.keys() == []
