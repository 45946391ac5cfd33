"""Large pictures take turns; small ones do not wait."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from PIL import Image

from thumb_pipeline.stages.workers.memory_turn import SHARED_PIXELS, Room, make_room
from thumb_pipeline.stages.workers.messages import RenderAnswer
from thumb_pipeline_tests.stages.workers.pools import pool_in, task_for

pytestmark = pytest.mark.quick

HOLDER = """
import sys, time
from thumb_pipeline.stages.workers.memory_turn import Room
room = Room(int(sys.argv[1]))
room.admit(10**9); print("mine", flush=True); time.sleep(float(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def panorama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("panorama") / "panorama.png"
    Image.new("RGB", (10_000, 4_000), (10, 120, 200)).save(path, compress_level=1)
    return path


def holder(descriptor: int, seconds: float) -> "subprocess.Popen[str]":
    program = [sys.executable, "-c", HOLDER, str(descriptor), str(seconds)]
    process = subprocess.Popen(program, pass_fds=[descriptor], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "mine\n"
    process.stdout.close()
    return process


def test_a_small_picture_is_admitted_while_a_large_one_is_in_flight() -> None:
    with make_room() as file:
        process = holder(file.fileno(), 30)
        Room(file.fileno()).admit(SHARED_PIXELS)
        process.kill()
        process.wait()


def test_a_large_picture_waits_for_the_other_and_its_deadline_stands_still() -> None:
    with make_room() as file:
        process = holder(file.fileno(), 0.5)
        room = Room(file.fileno())
        signal.setitimer(signal.ITIMER_REAL, 0.2)  # the default action would end this process
        started = time.monotonic()
        room.admit(SHARED_PIXELS + 1)
        waited = time.monotonic() - started
        remaining, _ = signal.setitimer(signal.ITIMER_REAL, 0)
        room.leave()
        process.wait()
    assert waited > 0.3
    assert 0 < remaining <= 0.2


def test_who_dies_with_the_turn_gives_it_back() -> None:
    with make_room() as file:
        process = holder(file.fileno(), 30)
        process.kill()
        process.wait()
        Room(file.fileno()).admit(10**9)


def test_without_a_file_nothing_waits() -> None:
    Room(None).admit(10**9)


@pytest.mark.daemon
def test_together_they_hold_the_memory_of_one(tmp_path: Path, panorama: Path) -> None:
    held: list[int] = []
    with pool_in(tmp_path, n_workers=3) as pool:
        answers = pool.run([task_for(panorama, tmp_path / str(n)) for n in range(3)])
        done: list[object] = []
        watching = threading.Thread(target=lambda: done.extend(answer for _, answer in answers))
        watching.start()
        while watching.is_alive():
            workers = [*pool._busy.values()]
            held.append(sum(_resident_kb(worker.process.pid) for worker in workers))
            time.sleep(0.005)
        watching.join()
    assert [variant.reason for answer in done if isinstance(answer, RenderAnswer) for variant in answer.variants] == [
        None
    ] * 6
    assert max(held) < 2 * 160_000 + 3 * 60_000  # less than two pictures of 160 MB beside three interpreters


def _resident_kb(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024
