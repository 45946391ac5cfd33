"""`status` and `cancel` beside a command that works, and beside a backfill of a daemon."""

import dataclasses
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from thumb_pipeline.cli.dagster.runs import BackfillState
from thumb_pipeline.stages.rendering.progress import Pace
from thumb_pipeline_tests.cli.conftest import COMMAND, Archive, Run, clean_environment, jpeg
from thumb_pipeline_tests.cli.page import launch_backfill
from thumb_pipeline_tests.cli.served import lease_holders, until, up
from thumb_pipeline_tests.conftest import REPOSITORY

pytestmark = pytest.mark.daemon

N_FRAMES = 800
COMMANDS_PAGE = (REPOSITORY / "docs/commands.md").read_text(encoding="utf-8")
KEYS = [f"camera-1/timelapse-{number}" for number in (1, 2, 3)]


def keys_in(document: Any) -> set[str]:
    """Every key of a document."""
    if isinstance(document, list):
        return set().union(*map(keys_in, document))
    return set(document).union(*map(keys_in, document.values())) if isinstance(document, dict) else set()


def documented_keys() -> set[str]:
    (row,) = re.findall(r"^\| `thumb-pipeline status` \|.*\|(.*)\|$", COMMANDS_PAGE, re.MULTILINE)
    return set(re.findall(r"`(\w+)`", row))


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
    assert keys_in(found) <= documented_keys()


def test_a_working_command_is_shown_with_its_progress_and_can_be_cancelled(
    archive: Archive, run: Run, working: "subprocess.Popen[bytes]"
) -> None:
    (live,) = run("status", "--library", archive.root, "--json").json["runs"]
    assert (live["job"], live["status"], live["lane"]) == ("generate", "started", "regeneration")
    assert live["progress"]["n_variants"] == 2 * N_FRAMES
    document = run("status", "--library", archive.root, "--json").json
    of_backfills = {field.name for kind in (BackfillState, Pace) for field in dataclasses.fields(kind)}
    of_rows = {"faults", "in_force_since", "timelapse", "source_name", "reason", "detail", "recorded_at"}
    assert documented_keys() == keys_in(document) | of_backfills | of_rows | {"stopped", "left_s"}
    assert document["stopped"] == []
    refused = run("cancel", live["run_id"], "no-such-run", "--library", archive.root)
    assert (refused.code, working.poll()) == (2, None)
    assert "no run or backfill no-such-run" in refused.err

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
    assert run("cancel", "--all", "00000000", "--library", archive.root).code == 2
    nothing = run("cancel", "--all", "--library", archive.root)
    assert (nothing.code, nothing.out) == (0, "nothing runs and nothing waits\n")
    assert "no run" in run("cancel", "0" * 8, "--library", archive.root).err


@pytest.fixture
def to_backfill(archive: Archive, run: Run) -> Archive:
    """Three timelapses whose thumbnails are gone, which nobody looks for before the night; each is a run."""
    settings = archive.root / "thumbs.toml"
    text = settings.read_text().replace("keep_warm = true", "keep_warm = false")
    settings.write_text(text.replace("timelapses_per_run = 250", "timelapses_per_run = 1"))
    frame = jpeg((1920, 1080))
    for key in KEYS:
        for number in range(20):
            archive.add(f"{number}.jpg", frame, key=key)
    assert run("generate", "--library", archive.root).code == 0
    for path in archive.root.glob("cameras/*/*/thumbnails/*"):
        path.unlink()
    return archive


def workers_of_one_run(archive: Archive) -> list[int]:
    """The processes that render for a run, where there is one."""
    held = map(int, lease_holders(archive))
    found = [
        pid for pid in held if b"thumb_pipeline.stages.workers.process" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    return [pid for pid in found if parent(pid) == parent(found[0])]


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def test_a_backfill_is_shown_against_its_plan_while_one_of_its_runs_stands_still(
    to_backfill: Archive, run: Run
) -> None:
    def backfill() -> dict[str, Any]:
        (found,) = run("status", "--library", to_backfill.root, "--json").json["backfills"]
        return dict(found)

    with up(to_backfill) as page:
        url = page.url
        backfill_id = launch_backfill(url, KEYS)
        planned = backfill()
        assert (planned["n_timelapses"], planned["n_done"], planned["left_s"]) == (3, 0, None)
        until(lambda: workers_of_one_run(to_backfill), "workers of its first run")
        for pid in workers_of_one_run(to_backfill):  # the run itself may hold a lock that the others need
            os.kill(pid, signal.SIGSTOP)
        until(lambda: backfill()["n_done"] == 2, "the others, and the daemon's next count")

        found = backfill()
        assert (found["n_requested"], found["n_failed"], found["n_runs"], found["n_ended"]) == (3, 0, 3, 2)
        assert found["per_s"] > 0
        assert found["left_s"] > 0
        (live,) = run("status", "--library", to_backfill.root, "--json").json["runs"]
        assert (live["lane"], live["backfill_id"]) == ("regeneration", backfill_id)
        said = run("status", "--library", to_backfill.root).out
        assert f"{live['run_id']}  assets of backfill {backfill_id}  started  lane regeneration  began" in said
        assert f"{backfill_id}  backfill of 3 timelapses  under way  was launched" in said
        assert re.search(r"  2 done, 0 failed, 1 to go, [\d.]+/\w+, .* left; 3 runs so far, 2 ended", said)

        cancelled = run("cancel", backfill_id, "--library", to_backfill.root)
        assert cancelled.out == "1 backfill and 1 run cancelled\n"
        until(lambda: "nothing runs" in run("status", "--library", to_backfill.root).out, "its end")
        again = run("cancel", backfill_id, "--library", to_backfill.root)
        assert again.code == 2
        assert f"backfill {backfill_id} has ended already (CANCELED)" in again.err
