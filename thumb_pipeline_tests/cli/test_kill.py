import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from thumb_pipeline_tests.cli.conftest import COMMAND, Archive, Run, clean_environment, dagster_instance, jpeg

pytestmark = pytest.mark.daemon

N_FRAMES = 60


@pytest.mark.parametrize("after_s", [0.5, 1.2, 1.8, 2.4, 3.2])
@pytest.mark.parametrize("whole_group", [True, False])
def test_a_killed_generate_is_put_right_by_the_next(
    archive: Archive, run: Run, after_s: float, whole_group: bool
) -> None:
    kill_and_repeat(archive, run, after_s, whole_group)


@pytest.mark.usefixtures("on_postgres")
@pytest.mark.parametrize("after_s", [1.6, 2.6])
def test_a_killed_generate_is_put_right_by_the_next_on_postgres(archive: Archive, run: Run, after_s: float) -> None:
    kill_and_repeat(archive, run, after_s, whole_group=True)


def kill_and_repeat(archive: Archive, run: Run, after_s: float, whole_group: bool) -> None:
    frame = jpeg((1920, 1080))
    for index in range(N_FRAMES):
        archive.add(f"timelapse-1_20250422_{index:06d}.jpg", frame)
    command = [COMMAND, "generate", "--library", str(archive.root)]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL, env=clean_environment())
    time.sleep(after_s)
    os.killpg(process.pid, signal.SIGKILL) if whole_group else process.kill()
    process.wait()

    again = run("generate", "--library", archive.root, "--json")

    assert again.code == 0, again.err
    counts = again.json
    assert counts["rendered"] + counts["adopted"] + counts["unchanged"] == 2 * N_FRAMES
    assert len(archive.variants()) == 2 * N_FRAMES
    assert archive.leftovers() == []
    assert not any(status in _run_statuses(archive) for status in ("STARTED", "STARTING", "CANCELING"))
    assert _workers_on(archive) == []
    assert run("generate", "--library", archive.root, "--json").json["unchanged"] == 2 * N_FRAMES


STOPPED_WHILE_ITS_MODULES_GO = """
import functools, os, sys
from thumb_pipeline.cli import main

class Late:
    __del__ = staticmethod(functools.partial(os.kill, os.getpid(), {number}))

late = Late()
sys.argv = ["thumb-pipeline", "--version"]
main()
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_when_everything_is_done_changes_no_exit_code(how: signal.Signals) -> None:
    program = STOPPED_WHILE_ITS_MODULES_GO.format(number=int(how))
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_part_way_and_keeps_what_was_finished(archive: Archive, run: Run, how: signal.Signals) -> None:
    frame = jpeg((1920, 1080))
    for index in range(400):
        archive.add(f"timelapse-1_20250422_{index:06d}.jpg", frame)
    command = [COMMAND, "generate", "--library", str(archive.root), "--json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, start_new_session=True, env=clean_environment(), **pipes)
    _wait_for_variants(archive, 20)
    process.send_signal(how)
    printed, said = process.communicate(timeout=20)
    assert process.returncode == 3, said.decode()
    assert b"Traceback" not in said
    assert json.loads(printed)["rendered"] > 20  # the pictures in flight need not be among them
    n_finished = len(archive.variants())
    assert n_finished >= 20
    assert archive.leftovers() == []
    again = run("generate", "--library", archive.root, "--json").json
    assert again["rendered"] <= 800 - n_finished + 4
    assert again["rendered"] + again["unchanged"] + again["adopted"] == 800


@pytest.mark.usefixtures("storage_without_tables")
def test_two_commands_at_once_on_a_new_library_both_succeed(archive: Archive, run: Run) -> None:
    archive.fill(40)
    command = [COMMAND, "generate", "--library", str(archive.root), "--json"]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment())
        for _ in range(2)
    ]
    for process in both:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said.decode()
    assert len(archive.variants()) == 80
    again = run("generate", "--library", archive.root, "--json").json
    assert (again["rendered"], again["unchanged"]) == (0, 80)
    assert _run_statuses(archive) == {"SUCCESS"}


def _wait_for_variants(archive: Archive, count: int) -> None:
    deadline = time.monotonic() + 30
    while len(list(archive.root.glob("cameras/*/*/*/*_thumb_*"))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _run_statuses(archive: Archive) -> set[str]:
    if not (archive.root / ".thumb_pipeline/dagster/dagster.yaml").exists():
        return set()
    with dagster_instance(archive) as instance:
        return {run.status.value for run in instance.get_runs()}


def _workers_on(archive: Archive) -> list[str]:
    """Worker processes that hold a lease of this library."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        except OSError:
            continue  # it has just ended
        found += [pid for link in links if link.startswith(str(archive.root / ".thumb_pipeline/leases"))]
    return found


def test_records_whose_making_was_interrupted_are_made_anew(archive: Archive, run: Run) -> None:
    archive.add("a.jpg")
    assert run("generate", "--library", archive.root).code == 0
    index = archive.root / ".thumb_pipeline" / "dagster" / "history" / "runs" / "index.db"
    index.unlink()
    with contextlib.closing(sqlite3.connect(index)) as connection:
        connection.execute("CREATE TABLE event_logs (id INTEGER)")
    again = run("generate", "--library", archive.root, "--json")
    assert (again.code, again.json["unchanged"]) == (0, 2), again.err
