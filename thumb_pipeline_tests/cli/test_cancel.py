"""Runs that are stopped: by `cancel` and Ctrl-C, at work on something long, waiting, and of a backfill."""

import io
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import dagster as dg
import pytest
from PIL import Image

from thumb_pipeline_tests.cli.conftest import (
    COMMAND,
    Archive,
    Run,
    clean_environment,
    copied,
    dagster_instance,
    jpeg,
)
from thumb_pipeline_tests.cli.page import launch, launch_backfill, partitions, runs, terminate
from thumb_pipeline_tests.cli.served import lease_holders, until, up

pytestmark = [pytest.mark.daemon, pytest.mark.usefixtures("storage")]

STOPS_WITHIN_S = 5.0
N_ORPHANS = 10_000
N_SMALL = 600
FORCED = {"take_order": {"force": True}}
SLOW_KEYS = ["camera-1/timelapse-1", "camera-1/timelapse-2", "camera-1/timelapse-3"]


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


def n_leases(archive: Archive) -> int:
    """How many leases of this library are held: one a run that is at work."""
    folder = str(archive.root / ".thumb_pipeline/leases")
    held = set()
    for pid in lease_holders(archive):
        with suppress(OSError):  # it has just ended
            held |= {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    return sum(path.startswith(folder) for path in held)


def assert_stopped_in_time(archive: Archive, run_ids: list[str]) -> None:
    """Each run was cancelled within five seconds, as Dagster's own events tell, and nobody works for one any more."""
    assert run_ids
    for run_id in run_ids:
        asked_s, ended_s = moments_of_stop(archive, run_id)
        assert 0.0 <= ended_s - asked_s <= STOPS_WITHIN_S
        while (holders := lease_holders(archive)) and time.time() < asked_s + STOPS_WITHIN_S:
            time.sleep(0.05)
        assert holders == []


def moments_of_stop(archive: Archive, run_id: str) -> tuple[float, float]:
    """When a run was asked to stop, and when it was cancelled."""
    kinds = (dg.DagsterEventType.RUN_CANCELING, dg.DagsterEventType.RUN_CANCELED)
    with dagster_instance(archive) as instance:
        asked, ended = (instance.get_records_for_run(run_id, of_type=kind, ascending=True).records for kind in kinds)
    return asked[0].timestamp, ended[-1].timestamp


def status(run: Run, archive: Archive) -> Any:
    return run("status", "--library", archive.root, "--json").json


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


def initialised(run: Run, root: Path) -> Archive:
    """A library whose captures run does not stay."""
    assert run("init", root).code == 0
    settings = root / "thumbs.toml"
    settings.write_text(settings.read_text().replace("keep_warm = true", "keep_warm = false"))
    return Archive(root)


def names_of_orphans(top: Path) -> set[str]:
    return {path.name for path in top.rglob("gone-*")}


@pytest.fixture(scope="module")
def small_frames(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Very many frames that are all different, with their variants; no run for new captures."""
    template = initialised(run, tmp_path_factory.mktemp("small") / "library")
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


def statuses(archive: Archive) -> list[str]:
    if not (archive.root / ".thumb_pipeline/dagster/dagster.yaml").exists():
        return []
    with dagster_instance(archive) as instance:
        return [found.status.value for found in instance.get_runs()]


@contextmanager
def standing_still(archive: Archive) -> Iterator[None]:
    """Halts the run and its workers where they are, so that a stop meets them there however fast they are."""
    pids = [int(pid) for pid in lease_holders(archive)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):  # whoever goes on first may have ended the others already
                os.kill(pid, signal.SIGCONT)


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
            asked_s = time.monotonic()
        assert process.wait(30) == 3, "it ended by itself"
        assert time.monotonic() - asked_s <= STOPS_WITHIN_S
    assert lease_holders(many) == []
    assert status(run, many)["runs"] == []
    again = run("verify", "--deep", "--library", many.root, "--json")
    assert (again.code, again.json["valid"]) == (0, 2 * N_SMALL), again.err


# Beside a daemon


def run_statuses(url: str) -> dict[str, str]:
    return {run["runId"]: run["status"] for run in runs(url)}


def n_at_work(url: str) -> int:
    """How many runs have begun; a lease may be another's, for a moment: who ends lost runs takes one, too."""
    return list(run_statuses(url).values()).count("STARTED")


@pytest.fixture(scope="module")
def slow_frames(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Everything is made, in three timelapses: no run for new captures, and a long way for one with `force`."""
    template = initialised(run, tmp_path_factory.mktemp("slow") / "library")
    first = template.add("0.png", slow_png(4), key=SLOW_KEYS[0])
    for key in SLOW_KEYS:
        template.frames(key).mkdir(parents=True, exist_ok=True)
        for number in range(key == SLOW_KEYS[0], 10):
            os.link(first, template.frames(key) / f"{number}.png")
    assert run("generate", "--library", template.root).code == 0
    return template


@pytest.fixture
def bulky(slow_frames: Archive, tmp_path: Path) -> Archive:
    return copied(slow_frames, tmp_path / "library")


def test_runs_of_the_daemon_are_cancelled_at_work_and_in_the_queue(bulky: Archive, run: Run) -> None:
    with up(bulky) as page:
        url = page.url
        run_ids = [launch(url, "generate", FORCED) for _ in range(4)]  # two at once is their lane's limit
        until(lambda: n_at_work(url) == n_leases(bulky) == 2, "two at work")  # who is starting hears nothing yet
        cancelled = run("cancel", *run_ids, "--library", bulky.root, "--json")
        assert_stopped_in_time(bulky, run_ids)
        assert sorted(cancelled.json["cancelled"]) == sorted(run_ids), cancelled.err
        ended = run_statuses(url)
        assert {ended[run_id] for run_id in run_ids} == {"CANCELED"}
    assert bulky.leftovers() == []


def test_a_run_is_stopped_in_the_ui(bulky: Archive) -> None:
    with up(bulky) as page:
        url = page.url
        run_id = launch(url, "generate", FORCED)
        until(lambda: lease_holders(bulky), "its process")
        terminate(url, run_id)
        until(lambda: run_statuses(url)[run_id] == "CANCELED", "its end")
        assert_stopped_in_time(bulky, [run_id])
    assert bulky.leftovers() == []


def test_a_deep_verification_is_stopped_in_the_ui(many: Archive) -> None:
    with up(many) as page:
        url = page.url
        run_id = launch(url, "verify", {"verify_timelapses": {"deep": True}})
        until(lambda: len(lease_holders(many)) > 1, "its workers")
        asking = Thread(target=terminate, args=(url, run_id))  # answered when the run has heard it
        with standing_still(many):
            asking.start()
            until(lambda: "CANCELING" in statuses(many), "that it is asked to stop")
        asking.join()
        until(lambda: run_statuses(url)[run_id] not in ("STARTED", "CANCELING"), "its end")
        assert run_statuses(url)[run_id] == "CANCELED", "it ended by itself"
        assert_stopped_in_time(many, [run_id])


def test_cancelling_everything_ends_a_backfill_with_its_runs(bulky: Archive, run: Run) -> None:
    for path in Path(bulky.root).glob("cameras/*/*/thumbnails/*"):
        path.unlink()
    with up(bulky) as page:
        url = page.url
        until(lambda: set(partitions(url)) == set(SLOW_KEYS), "the code, loaded, and the partitions")
        backfill_id = launch_backfill(url, SLOW_KEYS)
        until(lambda: lease_holders(bulky), "its first run")
        (seen,) = status(run, bulky)["backfills"]
        assert (seen["backfill_id"], seen["status"]) == (backfill_id, "requested")
        cancelled = run("cancel", "--all", "--library", bulky.root, "--json")
        assert_stopped_in_time(bulky, cancelled.json["cancelled"])
        assert (cancelled.code, cancelled.json["backfills"]) == (0, [backfill_id]), cancelled.err
        until(lambda: not status(run, bulky)["backfills"], "its end")
        assert set(run_statuses(url).values()) <= {"CANCELED", "SUCCESS"}
    assert lease_holders(bulky) == []


def test_a_run_that_lost_its_process_together_with_its_code_server_is_repeated(bulky: Archive, run: Run) -> None:
    with up(bulky) as page:
        url = page.url
        run_id = launch(url, "generate", FORCED)
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
