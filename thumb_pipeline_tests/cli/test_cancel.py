"""Commands that `cancel` and Ctrl-C stop in the middle of long work. Runs of a daemon: `test_cancel_daemon`."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from thumb_pipeline_tests.cli.conftest import (
    COMMAND,
    Archive,
    Run,
    clean_environment,
    copied,
    initialised,
    jpeg,
    let_captures_runs_end,
)
from thumb_pipeline_tests.cli.served import lease_holders, until
from thumb_pipeline_tests.cli.stopped_runs import (
    STOPS_WITHIN_S,
    assert_nobody_at_work,
    assert_stopped_in_time,
    slow_png,
    standing_still,
    status,
    statuses,
)

pytestmark = [pytest.mark.daemon, pytest.mark.usefixtures("storage")]

N_ORPHANS = 10_000
N_SMALL = 600


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


def test_a_run_in_the_middle_of_a_slow_picture_is_stopped_and_leaves_no_worker(archive: Archive, run: Run) -> None:
    first = archive.add("0.png", slow_png(8))
    for number in range(1, 40):
        os.link(first, first.with_name(f"{number}.png"))
    with started("generate", "--library", str(archive.root)) as process:
        until(lambda: status(run, archive)["runs"], "its run")
        (live,) = status(run, archive)["runs"]
        cancelled = run("cancel", live["run_id"], "--library", archive.root, "--json")
        assert_stopped_in_time(archive, [live["run_id"]])
        assert cancelled.json == {"cancelled": [live["run_id"]], "left": [], "backfills": []}
        assert process.wait(30) == 3
    assert archive.leftovers() == []
    after = status(run, archive)
    assert (after["runs"], after["last_failed_runs"]) == ([], [])
    assert after["completed_24h"] == len(archive.variants())  # all that was published is recorded


def test_a_process_that_does_not_answer_is_killed_and_its_run_is_cancelled(archive: Archive, run: Run) -> None:
    frame = jpeg((1920, 1080))
    for number in range(150):
        archive.add(f"{number}.jpg", frame)
    with started("generate", "--library", str(archive.root)) as process:
        until(lambda: len(archive.variants()) > 10, "some variants")
        process.send_signal(signal.SIGSTOP)
        cancelled = run("cancel", "--all", "--library", archive.root, "--json")
        assert_stopped_in_time(archive, cancelled.json["cancelled"])
        assert (cancelled.code, cancelled.json["left"]) == (0, [])
        assert process.wait(30) == -signal.SIGKILL
    assert status(run, archive)["last_failed_runs"] == []
    assert run("generate", "--library", archive.root).code == 0
    assert len(archive.variants()) == 300
    assert archive.leftovers() == []


# Commands that move and read many files


def test_a_stopped_sweep_leaves_each_file_in_one_of_two_places_and_the_next_moves_the_rest(
    archive: Archive, run: Run
) -> None:
    archive.add("a.jpg")
    assert run("generate", "--library", archive.root).code == 0
    folder, trash = archive.frames().parent / "thumbnails", archive.root / ".thumb_pipeline-trash"
    everything = {f"gone-{number:05d}.jpg_thumb.jpg" for number in range(N_ORPHANS)}
    first, *others = sorted(everything)
    (folder / first).write_bytes(b"nobody's")
    for name in others:
        os.link(folder / first, folder / name)
    sweep = ("sweep", "--apply", "--force", "--library", str(archive.root))
    with started(*sweep) as process:
        until(lambda: next(trash.rglob("gone-*"), None), "the first file in the trash")
        stop_by_cancel(archive, run, process)
    left, gone = names_of_orphans(folder), names_of_orphans(trash)
    assert 0 < len(left) < N_ORPHANS, "it ended by itself"
    assert (left | gone, left & gone) == (everything, set())
    again = run(*sweep, "--json")
    assert (again.code, again.json["removed"]) == (0, len(left)), again.err
    assert (names_of_orphans(folder), names_of_orphans(trash)) == (set(), everything)


def names_of_orphans(top: Path) -> set[str]:
    return {path.name for path in top.rglob("gone-*")}


@pytest.fixture(scope="module")
def small_frames(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Very many frames that are all different, with their variants; no run for new captures."""
    template = Archive(Path(initialised(tmp_path_factory.mktemp("small") / "library")))
    let_captures_runs_end(template.root, linger_s=30.0)
    for number in range(N_SMALL):
        template.add(f"{number:04d}.jpg", jpeg((32, 24), (number % 256, number // 256, 90)))
    assert run("generate", "--library", template.root).code == 0
    return template


@pytest.fixture
def many(small_frames: Archive, tmp_path: Path) -> Archive:
    return copied(small_frames, tmp_path / "library")


def test_a_stopped_repair_loses_no_variant_and_the_next_puts_the_rest_right(many: Archive, run: Run) -> None:
    for frame in list(many.frames().iterdir()):
        frame.rename(frame.with_name(f"renamed-{frame.name}"))
    assert status(run, many)["runs"] == []  # makes Dagster's tables, which two should not do at once
    repair = ("repair", "--apply", "--accept-shrink", "--library", str(many.root))
    with started(*repair) as process:
        until(lambda: len(lease_holders(many)) > 1, "its workers, which look into the files")
        stop_by_cancel(many, run, process)
    assert len(many.variants()) == 2 * N_SMALL
    again = run(*repair, "--json")
    assert (again.code, again.json["files_unmatched"]) == (0, 0), again.err
    assert run("verify", "--library", many.root, "--json").json["valid"] == 2 * N_SMALL


def stop_by_cancel(archive: Archive, run: Run, process: "subprocess.Popen[bytes]") -> None:
    """Cancels the one run there is, which this process executes; both end as they should."""
    with ExitStack() as halted:
        halted.enter_context(standing_still(archive))
        with started("cancel", "--all", "--library", str(archive.root), "--json") as cancel:
            until(lambda: "CANCELING" in statuses(archive), "that it is asked to stop")
            halted.close()
            printed, _ = cancel.communicate(timeout=60)
    (run_id,) = json.loads(printed)["cancelled"]
    assert_stopped_in_time(archive, [run_id])
    assert process.wait(30) == 3, "it ended by itself"
    assert status(run, archive)["runs"] == []


def test_a_stopped_deep_verification_can_be_repeated(many: Archive, run: Run) -> None:
    with started("verify", "--deep", "--library", str(many.root)) as process:  # no run of Dagster's: Ctrl-C stops it
        until(lambda: len(lease_holders(many)) > 1, "its workers")
        with standing_still(many):
            process.send_signal(signal.SIGINT)
            asked_s = time.time()
        assert process.wait(30) == 3, "it ended by itself"
        assert time.time() - asked_s <= STOPS_WITHIN_S
    assert_nobody_at_work(many, asked_s)
    assert status(run, many)["runs"] == []
    again = run("verify", "--deep", "--library", many.root, "--json")
    assert (again.code, again.json["valid"]) == (0, 2 * N_SMALL), again.err
