"""`up` while databases are locked, disks are full or away, and what it remembers is lost: nothing is done by hand.

Processes that are killed are in `test_killed_stream`, a second daemon in `test_letting_it_run`.
"""

import json
import re
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from PIL import Image

from thumb_pipeline.stages.library.open import initialise
from thumb_pipeline_tests.cli.conftest import (
    Archive,
    environment_of,
    is_remembered,
    is_rendered,
    let_captures_runs_end,
    variants_of,
)
from thumb_pipeline_tests.cli.page import asked, launch, partitions, statuses
from thumb_pipeline_tests.cli.served import said_by_up, until, up

pytestmark = pytest.mark.daemon

UNFINISHED = {"QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"}
LOCKED_S = 15.0
SHARED_STORAGE = "sqlite"
HERE = 'repositoryLocationName: "thumb_pipeline", repositoryName: "__repository__"'


def restless_library(root: Path, **storage: Path) -> Archive:
    """A library whose captures run does not stay."""
    initialise(str(root))
    settings = root / "thumbs.toml"
    let_captures_runs_end(root)
    text = settings.read_text()
    for name, place in storage.items():
        text = re.sub(rf"(?m)^{name} = .*$", f'{name} = "{place}"', text, count=1)
    settings.write_text(text)
    return Archive(root)


@pytest.fixture(scope="module")
def served(shared_storage: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Archive, str]]:
    """A library with `up` on it that several tests share, and the address of its page; one for each storage of runs."""
    archive = restless_library(tmp_path_factory.mktemp("served") / "library")
    with ExitStack() as stack:
        with environment_of(shared_storage):
            page = stack.enter_context(up(archive))
        first = archive.add("first.jpg", key="camera-9/timelapse-9")
        until(lambda: is_rendered(first), "the first frame")
        yield archive, page.url


@contextmanager
def held(databases: list[Path], *statements: str) -> Iterator[None]:
    """Holds databases as another process would that backs them up or has gone astray."""
    with ExitStack() as stack:
        for path in databases:
            connection = stack.enter_context(closing(sqlite3.connect(path, isolation_level=None, timeout=30)))
            for statement in statements:
                connection.execute(statement).fetchall()
        yield


def databases(archive: Archive) -> list[Path]:
    return sorted((archive.root / ".thumb_pipeline").rglob("*.db"))


def wait_for_rest(url: str) -> None:
    until(lambda: not UNFINISHED & set(statuses(url, job="new_captures")), "all runs at their end")


def stamps(frames: list[Path]) -> dict[Path, tuple[int, int]]:
    """Which publication of each variant is in place."""
    status = {path: path.stat() for frame in frames for path in variants_of(frame)}
    return {path: (found.st_ino, found.st_mtime_ns) for path, found in status.items()}


def is_whole(path: Path) -> bool:
    with Image.open(path) as picture:
        picture.load()
    return True


def tick_words(url: str) -> str:
    """Why the last ticks of the sensor did nothing."""
    words = "... on Sensor { sensorState { ticks(limit: 5) { skipReason } } }"
    sensor = f'{{{HERE}, sensorName: "new_captures_sensor"}}'
    return str(asked(url, f"{{ sensorOrError(sensorSelector: {sensor}) {{ {words} }} }}"))


@pytest.mark.parametrize("shared_storage", ["sqlite"], indirect=True, scope="module")
@pytest.mark.parametrize(
    "statements",
    [("BEGIN EXCLUSIVE",), ("BEGIN", "SELECT * FROM sqlite_master")],
    ids=["locked", "read"],
)
def test_frames_wait_for_databases_that_somebody_holds(served: tuple[Archive, str], statements: tuple[str]) -> None:
    archive, url = served
    key = f"camera-1/timelapse-{len(statements)}"
    frames = [archive.add("before.jpg", key=key)]
    with held(databases(archive), *statements):
        released_s = time.monotonic() + LOCKED_S
        while time.monotonic() < released_s:
            frames.append(archive.add(f"{len(frames)}.jpg", key=key))
            time.sleep(1.0)
    frames.append(archive.add("after.jpg", key=key))
    until(lambda: all(map(is_rendered, frames)), "all frames")
    wait_for_rest(url)
    until(lambda: key in partitions(url), "the timelapse's partition")


def test_a_lost_cursor_and_memory_and_runs_asked_for_twice_repeat_nothing(served: tuple[Archive, str]) -> None:
    archive, url = served
    memory = archive.root / ".thumb_pipeline" / "watch" / "folders.json"
    frames = [archive.add(f"{number}.jpg", key="camera-2/timelapse-1") for number in range(3)]
    until(lambda: all(map(is_rendered, frames)), "the first frames")
    before = stamps(frames)
    for number, lost in enumerate(("gone", "", '{"version": 1, "folders": [7]}', "\0" * 100)):
        memory.unlink(missing_ok=True) if lost == "gone" else memory.write_text(lost)
        set_cursor(url, lost)
        launch(url, "new_captures")
        launch(url, "new_captures")
        frames.append(archive.add(f"late{number}.jpg", key="camera-2/timelapse-1"))
    until(lambda: all(map(is_rendered, frames)), "frames after each loss")
    wait_for_rest(url)
    until(lambda: is_remembered(archive), "a new memory")
    assert before.items() <= stamps(frames).items()
    assert set(statuses(url, job="new_captures")) <= {"SUCCESS", "FAILURE"}


def test_cameras_that_are_away_for_a_while_are_named_and_caught_up_with(served: tuple[Archive, str]) -> None:
    archive, url = served
    known = set(partitions(url))
    cameras, away = archive.root / "cameras", archive.root / "away"
    frames = [archive.add("a.jpg", key="camera-3/timelapse-1")]
    until(lambda: is_rendered(frames[0]), "the frame before")
    wait_for_rest(url)
    cameras.rename(away)
    until(lambda: "not on the disk" in tick_words(url), "a tick that says so")
    shutil.copy(away / "camera-3/timelapse-1/frames/a.jpg", away / "camera-3/timelapse-1/frames/b.jpg")
    away.rename(cameras)
    frames.append(frames[0].with_name("b.jpg"))
    until(lambda: all(map(is_rendered, frames)), "the frame that came meanwhile")
    assert known < set(partitions(url))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "none", folder]
    mounted = subprocess.run(command, check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip(f"this user cannot mount a small disk: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill_up(disk: Path) -> Path:
    """Takes all that is left of a disk; the file to remove to free it."""
    fill = disk / "fill"
    with fill.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                continue
    return fill


@pytest.mark.usefixtures("storage")
def test_a_full_disk_of_variants_is_named_and_frames_are_done_when_it_is_freed(
    tmp_path: Path, small_disk: Path
) -> None:
    archive = restless_library(tmp_path / "library", variants=small_disk)
    log = archive.root / ".thumb_pipeline" / "up.log"

    def variants(name: str) -> list[Path]:
        return list(small_disk.rglob(f"{name}_thumb.jpg")) + list(small_disk.rglob(f"{name}_small.jpg"))

    with up(archive) as page:
        archive.add("a.jpg")
        until(lambda: len(variants("a.jpg")) == 2, "the frame before")
        fill = fill_up(small_disk)
        archive.add("b.jpg")
        until(lambda: "free space on that disk" in log.read_text(errors="replace"), "the run that says so")
        archive.add("c.jpg")
        assert all(map(is_whole, [*variants("b.jpg"), *variants("c.jpg")]))
        fill.unlink()
        until(lambda: len(variants("b.jpg") + variants("c.jpg")) == 4, "the frames that waited")
        assert all(map(is_whole, [*variants("b.jpg"), *variants("c.jpg")]))
        wait_for_rest(page.url)


@pytest.mark.usefixtures("storage")
@pytest.mark.parametrize(
    "is_run_caught",
    [False, pytest.param(True, marks=pytest.mark.long)],  # a run that cannot say that it failed takes a minute more
    ids=["watching", "rendering"],
)
def test_a_full_disk_of_state_and_its_databases_loses_nothing(
    tmp_path: Path, small_disk: Path, is_run_caught: bool
) -> None:
    archive = restless_library(tmp_path / "library", state=small_disk / "state")
    with up(archive) as page:
        frames = [archive.add("a.jpg")]
        until(lambda: is_rendered(frames[0]), "the frame before")
        if not is_run_caught:
            wait_for_rest(page.url)
        fill = fill_up(small_disk)
        for number in range(10):
            frames.append(archive.add(f"{number}.jpg", key=f"camera-1/timelapse-{number % 3}"))
            time.sleep(0.5)
        until(lambda: "is full; free space on it" in said_by_up(archive).read_text(), "that `up` says so")
        assert all(is_whole(path) for frame in frames for path in variants_of(frame) if path.exists())
        fill.unlink()
        until(lambda: all(map(is_rendered, frames)), "the frames that waited")
        wait_for_rest(page.url)
        assert page.process.poll() is None


def set_cursor(url: str, cursor: str) -> None:
    arguments = f'sensorSelector: {{{HERE}, sensorName: "new_captures_sensor"}}, cursor: {json.dumps(cursor)}'
    answer = asked(url, f"mutation {{ setSensorCursor({arguments}) {{ __typename }} }}")
    assert answer["__typename"] == "Sensor"
