"""What lies in the state as JSON or as text, of any content: an answer or a named refusal, and no traceback."""

import json
import os
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thumb_pipeline.datasets.slices import SliceDamaged
from thumb_pipeline.domain.removals import Operation
from thumb_pipeline.stages.captures import memory
from thumb_pipeline.stages.captures.memory import FolderChanges
from thumb_pipeline.stages.library import clean_up
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline.stages.removal import journal, trash
from thumb_pipeline.stages.rendering import work_orders
from thumb_pipeline_tests.stages.archives import KEY, Archive, run_id
from thumb_pipeline_tests.stages.removals import written_down

pytestmark = pytest.mark.quick

ORDER, LIST = run_id("order"), "18c0ffee-0badca"

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**30, -(2**63), 2**64]),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        ["../..", "/", "camera-1/timelapse-1", "a%ZZ", "\x00", "2025-01-01T00:00:00", "9999-12-31T23:59:59+00:00"]
    ),
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def library(done: Archive) -> Library:
    """A library with an order of work, a journal, a killed process, the marks of a watcher and a list for a run."""
    work_orders.place(done.library, done.plan(force=True), ORDER)
    done.killed_lease("0badf00d", "smalls")
    written_down(done, Operation.PURGE)
    memory.write_marks(done.library, {KEY: memory.Mark(mtime_ns=1, pending=("a.jpg",))})
    changes = {KEY: FolderChanges(mtime_ns=1, is_final=True, names=["a.jpg"])}
    memory.place_list(done.library, LIST, changes)
    return done.library


def read_orders(library: Library) -> None:
    with suppress(FileNotFoundError):
        work_orders.read(library, ORDER)
    work_orders.list_placed(library)
    work_orders.list_unfinished(library, "all")
    work_orders.read_claimed(library, {ORDER})
    work_orders.is_given_up(library, ORDER)


def read_journals(library: Library) -> None:
    for one in journal.list_run_ids(library):
        with suppress(SliceDamaged):
            journal.read(library, one)
        journal.read_kept_by_reason(library, one)
    trash.list_entries(library)


def read_leases(library: Library) -> None:
    for lease_id in clean_up.find_dead_leases(library):
        clean_up.holder(library, lease_id)
    clean_up.clean_up(library)


def read_memory(library: Library) -> None:
    memory.read_marks(library)
    memory.read_list(library, LIST)
    memory.list_placed_at_s(library)


def files(library: Library) -> Iterator[tuple[Path, Callable[[Library], None]]]:
    top = Path(library.state)
    yield top / "plans" / ORDER / "order.json", read_orders
    yield top / "plans" / ORDER / "lease", read_orders
    yield top / "plans" / ORDER / "thumbs.toml", lambda library: work_orders.library_of(library, ORDER) and None
    yield next(top.glob("trash/*/operation.json")), read_journals
    yield next(top.glob("trash/*/operation.json")).with_name("result.json"), read_journals
    yield top / "leases" / "0badf00d.lease", read_leases
    yield top / "watch" / "folders.json", read_memory
    yield top / "watch" / f"{LIST}.changes.json", read_memory


def mutations(data: bytes, chance: random.Random) -> Iterator[bytes]:
    """A real file with bytes flipped, cut, doubled and put in."""
    for _ in range(40):
        at, changed = chance.randrange(len(data) + 1), bytearray(data)
        how = chance.choice(["flip", "cut", "double", "insert"])
        if how == "flip" and at < len(data):
            changed[at] ^= 1 << chance.randrange(8)
        elif how == "cut":
            del changed[at:]
        elif how == "double":
            changed[at:at] = data[at : at + 30]
        else:
            changed[at:at] = chance.choice(
                [b"-", b"9" * 40, b"null", b"[" * 2_000, b"\xff", b"\x00", b'"../"', b"NaN", b"1e999"]
            )
        yield bytes(changed)


def test_a_mutated_file_of_the_state_is_read_or_refused(library: Library) -> None:
    chance = random.Random(11)
    for path, read in list(files(library)):
        real = path.read_bytes() if path.exists() else b'{"kept_by_reason": {"gone": 1}}'
        for data in [*mutations(real, chance), b"", b"[" * 100_000, b"\xff\xfe", b"{}", b"null"]:
            path.write_bytes(data)
            read(library)
        path.write_bytes(real)


@FUZZ
@given(fields=st.dictionaries(st.text(max_size=12), ANYTHING, max_size=4), which=st.integers(0, 7), whole=st.booleans())
def test_a_file_of_the_state_with_any_fields_is_read_or_refused(
    library: Library, fields: dict[str, Any], which: int, whole: bool
) -> None:
    path, read = list(files(library))[which]
    before = path.read_bytes() if path.exists() else None
    try:
        written = {} if whole or before is None or path.suffix != ".json" else json.loads(before)
        names = list(written) or ["kept_by_reason"]
        replaced = {names[number % len(names)]: value for number, value in enumerate(fields.values())}
        path.write_text(json.dumps({**written, **replaced, **fields}), errors="surrogatepass")
        read(library)
    finally:
        path.unlink() if before is None else path.write_bytes(before)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere")])
def test_what_is_no_file_in_the_place_of_one_stops_nothing(library: Library, make: Callable[[Path], None]) -> None:
    for path, read in list(files(library)):
        if path.exists():
            path.unlink()
        make(path)
        read(library)
        path.rmdir() if path.is_dir() else path.unlink()


@pytest.mark.parametrize(
    "text", ["", "..", "../../cameras", "/etc", "house", "a" * 5_000, "\x00", ORDER.upper(), f"{ORDER}\n"]
)
def test_no_text_but_the_id_of_a_run_names_a_folder(library: Library, text: str) -> None:
    for ask in (work_orders.read, work_orders.is_placed, work_orders.discard, journal.read, journal.discard):
        with pytest.raises(Refused, match="is not the id of a run"):
            ask(library, text)


@pytest.mark.parametrize("text", ["", "..", "../../notes", "/notes", "18c0ffee", f"{LIST}\n"])
def test_no_text_but_the_id_of_a_list_names_a_file(library: Library, text: str) -> None:
    notes = Path(library.root, "notes.changes.json")
    notes.write_text("{}")
    assert memory.read_list(library, text) == {}
    memory.discard_list(library, text)
    assert notes.exists()


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere")])
def test_what_is_no_file_in_the_place_of_an_orders_rows_is_named_and_not_waited_for(
    library: Library, make: Callable[[Path], None]
) -> None:
    rows = Path(library.order_folder(ORDER), "rows.parquet")
    rows.unlink()
    make(rows)
    with pytest.raises(SliceDamaged, match=r"rows\.parquet"):
        work_orders.read_chunk(library, ORDER, 0)
