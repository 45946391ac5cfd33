"""`up` and nothing else: frames appear in folders, variants beside them; daemon and code server are processes."""

import io
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest
from PIL import Image

from thumb_pipeline_tests.cli.conftest import (
    COMMAND,
    Archive,
    Run,
    dagster_environment,
    is_remembered,
    is_rendered,
    jpeg,
    variants_of,
)
from thumb_pipeline_tests.cli.frame_stream import FrameStream
from thumb_pipeline_tests.cli.page import FORCE, backfill_status, launch_backfill, partitions, statuses
from thumb_pipeline_tests.cli.served import until, up

pytestmark = [pytest.mark.daemon, pytest.mark.usefixtures("storage")]

OTHER = "camera-2/timelapse-9"
TICKED = "Sensor new_captures_sensor skipped"
N_OF_STREAM = 15


@pytest.mark.both_storages
@pytest.mark.usefixtures("true_speed")
def test_frames_become_variants_and_folders_partitions_with_nothing_else_done(restless: Archive) -> None:
    with up(restless) as page:
        first = restless.add("first.jpg")
        until(lambda: is_rendered(first), "the first frame")
        until(lambda: partitions(page.url) == ["camera-1/timelapse-1"], "its partition")

        slow = restless.frames() / "slow.bmp"
        with slow.open("wb") as file:
            for _ in range(4):
                file.write(b"BM" + bytes(50))
                file.flush()
                time.sleep(1.0)
                assert not is_rendered(slow)
        slow.write_bytes(jpeg())
        other = restless.add("b.jpg", key=OTHER)
        until(lambda: is_rendered(other) and is_rendered(slow), "a new timelapse, and a file that took its time")
        until(lambda: OTHER in partitions(page.url), "the new timelapse's partition")
        until(lambda: set(statuses(page.url, job="new_captures")) == {"SUCCESS"}, "all runs at their end")


def test_poisoned_timelapses_stop_neither_the_sensor_nor_the_others(restless: Archive, run: Run) -> None:
    unlisted, damaged, crashing = (f"camera-1/timelapse-{number}" for number in (1, 2, 3))
    restless.add("before.jpg", key=damaged)
    assert run("generate", "--library", restless.root).code == 0
    restless.frames(unlisted).parent.mkdir(parents=True)
    restless.frames(unlisted).symlink_to(restless.root / "not-mounted")
    records = list(restless.root.glob(f".thumb_pipeline/datasets/*/{damaged}/*.parquet"))
    for path in records:
        path.write_bytes(b"PAR1 rubbish PAR1")
    waiting = restless.add("waiting.jpg", key=damaged)
    restless.add("bomb.png", huge_png(), key=crashing)
    with up(restless):
        beside = restless.add("beside.jpg", key=crashing)
        healthy = restless.add("a.jpg", key=OTHER)
        until(lambda: is_rendered(healthy) and is_rendered(beside), "what can be rendered")
        later = restless.add("b.jpg", key=OTHER)
        until(lambda: is_rendered(later), "what comes later")
        assert not is_rendered(waiting)
        restless.frames(unlisted).unlink()
        first = restless.add("a.jpg", key=unlisted)
        until(lambda: is_rendered(first), "the one that could not be listed, once it can be")
    for path in records:
        path.unlink()
    assert run("generate", "--library", restless.root).code == 1  # the bomb is refused, and said to be
    assert is_rendered(waiting)


def huge_png() -> bytes:
    """More pixels than a worker may use memory for."""
    buffer = io.BytesIO()
    Image.new("1", (40_000, 40_000)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def test_killed_services_do_nothing_twice_and_miss_nothing(restless: Archive, run: Run) -> None:
    frames = []
    with up(restless) as page:
        frames += [restless.add(f"{number}.jpg") for number in range(3)]
        until(lambda: all(map(is_rendered, frames)), "frames before the kill")
        frames += [restless.add(f"{number}.jpg") for number in range(3, 30)]
        for pid in descendants(page.process.pid):
            os.kill(pid, signal.SIGKILL)
        page.process.wait(10)
    made = {path: path.stat().st_mtime_ns for frame in frames for path in variants_of(frame) if path.exists()}
    frames += [restless.add(f"{number}.jpg") for number in range(30, 33)]
    with up(restless) as page:
        until(lambda: all(map(is_rendered, frames)), "frames of before and after")
        until(lambda: "STARTED" not in statuses(page.url, job="new_captures"), "no run that only seems to be under way")
    assert made == {path: path.stat().st_mtime_ns for path in made}
    assert run("plan", "--library", restless.root, "--json").json["variants"] == 0
    assert restless.leftovers() == []


def test_a_stopped_service_leaves_a_run_that_ended_well(archive: Archive) -> None:
    with up(archive) as page:
        archive.add("a.jpg")
        until(lambda: "camera-1/timelapse-1" in partitions(page.url), "the partition")
        until(lambda: is_remembered(archive), "the frame, and its record; its run lingers")
    with up(archive) as page:
        *_, before = statuses(page.url, job="new_captures")  # the next one is about to be there, the newest first
        assert before == "SUCCESS"


@contextmanager
def second_daemon(archive: Archive) -> Iterator[Path]:
    """Dagster's daemon once more on the same instance; the file with what it says. It lives until it is ended."""
    home, log = archive.root / ".thumb_pipeline" / "dagster", archive.root.parent / "second.txt"
    with log.open("wb") as said:
        second = subprocess.Popen(
            [str(Path(COMMAND).with_name("dagster-daemon")), "run", "-w", str(home / "workspace.yaml")],
            env={
                **dagster_environment(),
                "DAGSTER_HOME": str(home),
                "THUMB_PIPELINE_LIBRARY": str(archive.root),
                "DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS": "1",
            },
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    try:
        yield log
        assert second.poll() is None, log.read_text()
    finally:
        os.killpg(second.pid, signal.SIGTERM)
        second.wait(60)  # a tick of its sensor takes up to 25 s


def test_a_second_daemon_by_mistake_loses_damages_and_repeats_nothing(archive: Archive, run: Run) -> None:
    old = [archive.add(f"{number}.jpg", key=OTHER) for number in range(20)]
    assert run("generate", "--library", archive.root).code == 0
    with up(archive) as page, second_daemon(archive) as log:
        until(lambda: OTHER in partitions(page.url), "the partition")
        with FrameStream(archive, random.Random(7), pause_s=0.5) as stream, Publications(old) as made:
            backfill_id = launch_backfill(page.url, [OTHER], FORCE)
            until(lambda: made.n_least() == 2, "each picture made again by the forced backfill")
            until(lambda: len(stream.frames) > N_OF_STREAM, "a stream that is worth the name")
            stream.end()
            until(lambda: not stream.waiting(), "all frames")
            until(lambda: backfill_status(page.url, backfill_id) == "COMPLETED_SUCCESS", "the end of the backfill")
        assert (stream.wrong(), stream.n_repeated()) == ([], 0)
        assert made.n_most() == 2
        assert statuses(page.url, backfill=backfill_id) == ["SUCCESS"]
        until(lambda: TICKED in log.read_text(), "a tick of the second daemon's sensor")
    assert run("plan", "--library", archive.root, "--json").json["variants"] == 0
    assert archive.leftovers() == []


class Publications:
    """How often each variant of some frames was published, as a look at them every moment shows. A context."""

    def __init__(self, frames: list[Path]) -> None:
        self._seen: dict[Path, set[tuple[int, int]]] = {path: set() for frame in frames for path in variants_of(frame)}
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._is_over.set()
        self._thread.join()

    def n_least(self) -> int:
        return min(map(len, self._seen.values()))

    def n_most(self) -> int:
        return max(map(len, self._seen.values()))

    def _watch(self) -> None:
        while not self._is_over.wait(0.05):
            self._look()

    def _look(self) -> None:
        for path, seen in self._seen.items():
            status = path.stat()
            seen.add((status.st_ino, status.st_mtime_ns))


def descendants(pid: int) -> list[int]:
    """A process and all that hangs on it, the youngest last."""
    found = [pid]
    for parent in found:
        children = Path(f"/proc/{parent}/task/{parent}/children")
        found += map(int, children.read_text().split()) if children.exists() else []
    return found
