"""Runs of a daemon that are stopped, at work and waiting, by a command and in the UI. All share one `up`."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Thread

import pytest

from thumb_pipeline_tests.cli.conftest import Archive, Run, copied, environment_of, initialised, let_captures_runs_end
from thumb_pipeline_tests.cli.page import launch, launch_backfill, partitions, runs, terminate
from thumb_pipeline_tests.cli.page import statuses as statuses_of
from thumb_pipeline_tests.cli.served import lease_holders, until, up
from thumb_pipeline_tests.cli.stopped_runs import (
    assert_stopped_in_time,
    n_leases,
    slow_png,
    standing_still,
    status,
    statuses,
)

pytestmark = [pytest.mark.daemon, pytest.mark.usefixtures("on_shared_storage")]

SHARED_STORAGE = "postgres"
KEYS = ["camera-1/timelapse-1", "camera-1/timelapse-2", "camera-1/timelapse-3"]
N_FRAMES = 10
FORCED = {"take_order": {"force": True}}
FEW = {"take_order": {"force": True, "sources": ["0.png", "1.png"]}}
ENDED = {"SUCCESS", "FAILURE", "CANCELED"}


@pytest.fixture(scope="module")
def shared(run: Run, shared_storage: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Archive, str]]:
    """A library with everything made, and the page of its `up`: no run for captures, a long one with `force`."""
    template = Archive(Path(initialised(tmp_path_factory.mktemp("template") / "library")))
    let_captures_runs_end(template.root)
    first = template.add("0.png", slow_png(4), key=KEYS[0])
    for key in KEYS:
        template.frames(key).mkdir(parents=True, exist_ok=True)
        for number in range(key == KEYS[0], N_FRAMES):
            os.link(first, template.frames(key) / f"{number}.png")
    assert run("generate", "--library", template.root).code == 0
    archive = copied(template, tmp_path_factory.mktemp("shared") / "library")
    with ExitStack() as stack:
        with environment_of(shared_storage):
            page = stack.enter_context(up(archive))
        until(lambda: set(partitions(page.url)) == set(KEYS), "the code, loaded, and the partitions")
        yield archive, page.url


@pytest.fixture
def served(shared: tuple[Archive, str]) -> Iterator[tuple[Archive, str]]:
    """The same; nothing is left behind when a test ends."""
    archive, url = shared
    yield shared
    until(lambda: set(statuses_of(url)) <= ENDED, "the end of all runs")
    until(lambda: archive.leftovers() == [], "that nothing is left behind")


def run_statuses(url: str) -> dict[str, str]:
    return {run["runId"]: run["status"] for run in runs(url)}


def n_at_work(url: str) -> int:
    """How many runs have begun."""
    return statuses_of(url).count("STARTED")


def test_runs_are_cancelled_at_work_and_in_the_queue(served: tuple[Archive, str], run: Run) -> None:
    archive, url = served
    run_ids = [launch(url, "generate", FORCED) for _ in range(4)]  # two at once is their lane's limit
    until(lambda: n_at_work(url) == 2 and n_leases(archive) == 4, "two that render")  # a starting one hears nothing yet
    cancelled = run("cancel", *run_ids, "--library", archive.root, "--json")
    assert sorted(cancelled.json["cancelled"]) == sorted(run_ids), cancelled.err
    assert_stopped_in_time(archive, run_ids)
    ended = run_statuses(url)
    assert {ended[run_id] for run_id in run_ids} == {"CANCELED"}


def test_a_run_is_stopped_in_the_ui(served: tuple[Archive, str]) -> None:
    archive, url = served
    run_id = launch(url, "generate", FORCED)
    until(lambda: lease_holders(archive), "its process")
    terminate(url, run_id)
    until(lambda: run_statuses(url)[run_id] == "CANCELED", "its end")
    assert_stopped_in_time(archive, [run_id])


def test_a_deep_verification_is_stopped_in_the_ui(served: tuple[Archive, str]) -> None:
    archive, url = served
    run_id = launch(url, "verify", {"verify_timelapses": {"deep": True}})
    until(lambda: len(lease_holders(archive)) > 1, "its workers")
    asking = Thread(target=terminate, args=(url, run_id))  # answered when the run has heard it
    with standing_still(archive):
        asking.start()
        until(lambda: "CANCELING" in statuses(archive), "that it is asked to stop")
    asking.join()
    until(lambda: run_statuses(url)[run_id] not in ("STARTED", "CANCELING"), "its end")
    assert run_statuses(url)[run_id] == "CANCELED", "it ended by itself"
    assert_stopped_in_time(archive, [run_id])


def test_cancelling_everything_ends_a_backfill_with_its_runs(served: tuple[Archive, str], run: Run) -> None:
    archive, url = served
    for path in archive.root.glob("cameras/*/*/thumbnails/*"):
        path.unlink()
    backfill_id = launch_backfill(url, KEYS)
    until(lambda: lease_holders(archive), "its first run")
    (seen,) = status(run, archive)["backfills"]
    assert (seen["backfill_id"], seen["status"]) == (backfill_id, "requested")
    cancelled = run("cancel", "--all", "--library", archive.root, "--json")
    assert (cancelled.code, cancelled.json["backfills"]) == (0, [backfill_id]), cancelled.err
    assert_stopped_in_time(archive, cancelled.json["cancelled"])
    until(lambda: not status(run, archive)["backfills"], "its end")
    assert set(statuses_of(url, backfill=backfill_id)) <= {"CANCELED", "SUCCESS"}
    until(lambda: not lease_holders(archive), "the end of its processes")


def test_a_run_that_lost_its_process_together_with_its_code_server_is_repeated(
    served: tuple[Archive, str], run: Run
) -> None:
    archive, url = served
    before = set(run_statuses(url))
    run_id = launch(url, "generate", FEW)
    until(lambda: lease_holders(archive), "its process")
    for pid in runs_and_code_servers(archive):
        os.kill(pid, signal.SIGKILL)

    def new_runs() -> dict[str, str]:
        return {one: now for one, now in run_statuses(url).items() if one not in before}

    until(lambda: new_runs()[run_id] == "FAILURE", "the tick that finds it")
    until(lambda: len(new_runs()) == 2, "its retry")
    until(lambda: sorted(new_runs().values()) == ["FAILURE", "SUCCESS"], "the end of that")
    assert run("generate", "--library", archive.root).code == 0  # cleans up after who was killed


def runs_and_code_servers(archive: Archive) -> list[int]:
    """The processes of this library's runs, and the code servers that they hang on."""
    holders = {int(pid) for pid in lease_holders(archive)}
    parents = {int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1]) for pid in holders}
    return sorted(holders | (parents - {1}), reverse=True)
