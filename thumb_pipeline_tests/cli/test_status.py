"""`status` and `cancel` beside a command that works."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from thumb_pipeline_tests.cli.conftest import COMMAND, Archive, Run, clean_environment, jpeg

pytestmark = pytest.mark.slow

N_FRAMES = 800


@pytest.fixture
def working(archive: Archive) -> Iterator["subprocess.Popen[bytes]"]:
    """A `generate` that has begun to publish and is far from its end."""
    frame = jpeg((1920, 1080))
    for index in range(N_FRAMES):
        archive.add(f"timelapse-1_20250422_{index:06d}.jpg", frame)
    command = [COMMAND, "generate", "--library", str(archive.root)]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, env=clean_environment())
    deadline = time.monotonic() + 60
    while len(archive.variants()) < 20 and time.monotonic() < deadline:
        time.sleep(0.05)
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_a_library_that_rests_says_so(archive: Archive, run: Run) -> None:
    archive.fill(2)
    archive.add("broken.jpg", b"no picture")
    run("generate", "--library", archive.root)
    said = run("status", "--library", archive.root)
    assert said.code == 0, said.err
    assert "nothing runs and nothing waits" in said.out
    found = run("status", "--library", archive.root, "--json").json
    assert (found["completed_24h"], found["failed"], found["pending"], found["runs"]) == (4, 1, 0, [])
    assert found["last_failures"][0]["reason"] == "not_an_image"


def test_a_working_command_is_shown_with_its_progress_and_can_be_cancelled(
    archive: Archive, run: Run, working: "subprocess.Popen[bytes]"
) -> None:
    (live,) = run("status", "--library", archive.root, "--json").json["runs"]
    assert (live["job"], live["status"], live["lane"]) == ("generate", "started", "regeneration")
    assert live["progress"]["n_variants"] == 2 * N_FRAMES

    cancelled = run("cancel", live["run_id"], "--library", archive.root, "--json")

    assert cancelled.code == 0, cancelled.err
    assert cancelled.json == {"cancelled": [live["run_id"]], "left": [], "backfills": []}
    assert working.wait(10) == 3
    assert 0 < len(archive.variants()) < 2 * N_FRAMES
    assert archive.leftovers() == []
    after = run("status", "--library", archive.root, "--json").json
    assert after["runs"] == []
    assert after["last_failed_runs"] == []
    in_flight = 2 * (os.cpu_count() or 1)  # published, and adopted by the next generate
    assert 0 <= len(archive.variants()) - after["completed_24h"] <= in_flight
    again = run("cancel", live["run_id"], "--library", archive.root)
    assert again.code == 2
    assert "has ended already" in again.err


def test_cancel_without_a_run_is_refused_and_all_of_nothing_is_nothing(archive: Archive, run: Run) -> None:
    assert run("cancel", "--library", archive.root).code == 2
    assert run("cancel", "--all", "--library", archive.root).code == 0
    assert "no run" in run("cancel", "0" * 8, "--library", archive.root).err
