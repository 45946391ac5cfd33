"""Runs that are stopped: by `cancel` and Ctrl-C, at work on something long, waiting, and of a backfill."""

import io
import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from thumb_pipeline_tests.cli.conftest import COMMAND, Archive, Run, clean_environment, first_port, jpeg

pytestmark = pytest.mark.slow

PATIENCE_S = 120.0


def slow_png(width_thousand_px: int) -> bytes:
    """A PNG decoder cannot shrink while it loads: 64 MP are seconds of work."""
    noise = Image.effect_noise((1000, 1000), 60).convert("RGB")
    large = Image.new("RGB", (1000 * width_thousand_px, 1000 * width_thousand_px))
    for x in range(width_thousand_px):
        for y in range(width_thousand_px):
            large.paste(noise, (x * 1000, y * 1000))
    buffer = io.BytesIO()
    large.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


@contextmanager
def started(*arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(
        [COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=clean_environment(),
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def until(is_so: Callable[[], object], what: str) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline_s, f"not within {PATIENCE_S:.0f} s: {what}"
        time.sleep(0.1)


def lease_holders(archive: Archive) -> list[str]:
    """Processes that hold a lease of this library: runs, and their workers."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        except OSError:
            continue  # it has just ended
        if any(link.startswith(str(archive.root / ".thumb_pipeline/leases")) for link in links):
            found.append(pid)
    return found


def status(run: Run, archive: Archive) -> Any:
    return run("status", "--library", archive.root, "--json").json


def test_a_run_in_the_middle_of_a_slow_picture_is_stopped_and_leaves_no_worker(archive: Archive, run: Run) -> None:
    picture = slow_png(8)
    for number in range(40):
        archive.add(f"{number}.png", picture)
    with started("generate", "--library", str(archive.root)) as process:
        until(lambda: status(run, archive)["runs"], "its run")
        (live,) = status(run, archive)["runs"]
        cancelled = run("cancel", live["run_id"], "--library", archive.root, "--json")
        assert cancelled.json == {"cancelled": [live["run_id"]], "left": [], "backfills": []}
        assert process.wait(30) == 3
    assert lease_holders(archive) == []
    assert archive.leftovers() == []
    after = status(run, archive)
    assert (after["runs"], after["last_failed_runs"]) == ([], [])
    assert after["completed_24h"] == len(archive.variants())  # all that was published is recorded


def test_a_process_that_does_not_answer_is_killed_and_its_run_is_cancelled(archive: Archive, run: Run) -> None:
    frame = jpeg((1920, 1080))
    for number in range(600):
        archive.add(f"{number}.jpg", frame)
    with started("generate", "--library", str(archive.root)) as process:
        until(lambda: len(archive.variants()) > 10, "some variants")
        process.send_signal(signal.SIGSTOP)
        cancelled = run("cancel", "--all", "--library", archive.root, "--json")
        assert (cancelled.code, cancelled.json["left"]) == (0, [])
        assert process.wait(30) == -signal.SIGKILL
    until(lambda: not lease_holders(archive), "no worker")
    assert status(run, archive)["last_failed_runs"] == []
    assert run("generate", "--library", archive.root).code == 0
    assert len(archive.variants()) == 1200
    assert archive.leftovers() == []


# Beside a daemon


@contextmanager
def up(archive: Archive) -> Iterator[str]:
    with started("up", "--library", str(archive.root), "--port", str(first_port(3700)), "--json") as process:
        assert process.stdout is not None
        document = b"".join(iter(process.stdout.readline, b"}\n")) + b"}"
        yield json.loads(document)["url"]


def asked(url: str, query: str, **variables: Any) -> Any:
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{url}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["data"]


_SELECTOR = {"repositoryLocationName": "thumb_pipeline", "repositoryName": "__repository__"}


def launch(url: str, job: str, config: dict[str, Any]) -> str:
    answer = asked(
        url,
        "mutation($run: ExecutionParams!) { launchRun(executionParams: $run) "
        "{ ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }",
        run={"selector": {**_SELECTOR, "jobName": job}, "runConfigData": config},
    )
    return str(answer["launchRun"]["run"]["runId"])


def launch_backfill(url: str, keys: list[str]) -> str:
    answer = asked(
        url,
        "mutation($backfill: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $backfill) "
        "{ ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }",
        backfill={"assetSelection": [{"path": ["thumbnails"]}], "partitionNames": keys},
    )
    return str(answer["launchPartitionBackfill"]["backfillId"])


def run_statuses(url: str) -> dict[str, str]:
    answer = asked(url, "{ runsOrError { ... on Runs { results { runId status } } } }")
    return {run["runId"]: run["status"] for run in answer["runsOrError"]["results"]}


@pytest.fixture
def bulky(archive: Archive, run: Run) -> Archive:
    """Everything is made, in three timelapses: no run for new captures, and a long way for one with `force`."""
    settings = archive.root / "thumbs.toml"
    settings.write_text(settings.read_text().replace("keep_warm = true", "keep_warm = false"))
    frame = slow_png(4)
    for key in ("camera-1/timelapse-1", "camera-1/timelapse-2", "camera-1/timelapse-3"):
        for number in range(10):
            archive.add(f"{number}.png", frame, key=key)
    assert run("generate", "--library", archive.root).code == 0
    return archive


def test_runs_of_the_daemon_are_cancelled_at_work_and_in_the_queue(bulky: Archive, run: Run) -> None:
    with up(bulky) as url:
        force = {"ops": {"take_order": {"config": {"force": True}}}}
        run_ids = [launch(url, "generate", force) for _ in range(4)]  # two at once is their lane's limit
        until(lambda: "STARTED" in run_statuses(url).values() and lease_holders(bulky), "one at work")
        cancelled = run("cancel", *run_ids, "--library", bulky.root, "--json")
        assert sorted(cancelled.json["cancelled"]) == sorted(run_ids), cancelled.err
        ended = run_statuses(url)
        assert {ended[run_id] for run_id in run_ids} == {"CANCELED"}
        until(lambda: not lease_holders(bulky), "no process of a run")
    assert bulky.leftovers() == []


def test_a_run_is_stopped_in_the_ui(bulky: Archive) -> None:
    with up(bulky) as url:
        run_id = launch(url, "generate", {"ops": {"take_order": {"config": {"force": True}}}})
        until(lambda: lease_holders(bulky), "its process")
        asked(url, "mutation($id: String!) { terminateRun(runId: $id) { __typename } }", id=run_id)
        until(lambda: run_statuses(url)[run_id] == "CANCELED", "its end")
        until(lambda: not lease_holders(bulky), "no process of a run")
    assert bulky.leftovers() == []


def test_cancelling_everything_ends_a_backfill_with_its_runs(bulky: Archive, run: Run) -> None:
    keys = [f"camera-1/timelapse-{number}" for number in (1, 2, 3)]
    for path in Path(bulky.root).glob("cameras/*/*/thumbnails/*"):
        path.unlink()
    with up(bulky) as url:
        backfill_id = launch_backfill(url, keys)
        until(lambda: lease_holders(bulky), "its first run")
        (seen,) = status(run, bulky)["backfills"]
        assert (seen["backfill_id"], seen["status"]) == (backfill_id, "requested")
        cancelled = run("cancel", "--all", "--library", bulky.root, "--json")
        assert (cancelled.code, cancelled.json["backfills"]) == (0, [backfill_id]), cancelled.err
        until(lambda: not status(run, bulky)["backfills"], "its end")
        assert set(run_statuses(url).values()) <= {"CANCELED", "SUCCESS"}
    assert lease_holders(bulky) == []


def test_a_run_that_lost_its_process_together_with_its_code_server_is_repeated(bulky: Archive, run: Run) -> None:
    with up(bulky) as url:
        run_id = launch(url, "generate", {"ops": {"take_order": {"config": {"force": True}}}})
        until(lambda: lease_holders(bulky), "its process")
        for pid in runs_and_code_servers(bulky):
            os.kill(pid, signal.SIGKILL)
        until(lambda: run_statuses(url)[run_id] == "FAILURE", "the tick that finds it")
        until(lambda: [one for one in run_statuses(url) if one != run_id], "its retry")
        until(lambda: sorted(run_statuses(url).values()) == ["FAILURE", "SUCCESS"], "the end of that")
    assert run("generate", "--library", bulky.root).code == 0  # cleans up after who was killed
    assert bulky.leftovers() == []


def runs_and_code_servers(archive: Archive) -> list[int]:
    """The processes of this library's runs, and the code servers that they hang on."""
    holders = {int(pid) for pid in lease_holders(archive)}
    parents = {int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1]) for pid in holders}
    return sorted(holders | (parents - {1}), reverse=True)
