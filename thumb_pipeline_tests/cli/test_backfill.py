"""Full regeneration as the UI launches it, on a real daemon: killed, cancelled, and taken up again."""

import os
import re
import signal
from pathlib import Path

import polars as pl
import pytest

from thumb_pipeline.stages.library.open import open_library
from thumb_pipeline_tests.cli.conftest import Archive, Run, copied
from thumb_pipeline_tests.cli.heavy_library import KEYS, rendered_library
from thumb_pipeline_tests.cli.page import (
    FORCE,
    asked,
    backfill_status,
    launch_backfill,
    partitions,
    runs,
    statuses,
    terminate,
)
from thumb_pipeline_tests.cli.served import until, up
from thumb_pipeline_tests.cli.stopped_runs import standing_still

pytestmark = [pytest.mark.daemon, pytest.mark.usefixtures("storage")]

N_FRAMES = 60
N_IN_FLIGHT = 4
N_RECORDED = 8

CANCEL = """mutation($id: String!) { cancelPartitionBackfill(backfillId: $id) { __typename } }"""
REPEAT = """mutation($id: String!) { reexecutePartitionBackfill(reexecutionParams:
  {parentRunId: $id, strategy: FROM_FAILURE}) {
  ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
EVENTS = """query($id: ID!) { runOrError(runId: $id) { ... on Run { eventConnection { events {
  ... on MessageEvent { message } } } } } }"""


def process_of(url: str, run_id: str) -> int:
    """The process that executes a run, as its first events tell."""
    events = asked(url, EVENTS, id=run_id)["eventConnection"]["events"]
    found = [re.search(r"pid: (\d+)", event.get("message", "")) for event in events]
    return next(int(one[1]) for one in found if one)


@pytest.fixture(scope="module")
def rendered(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Everything is made; what is made again is recorded about every second, at the end of a chunk."""
    archive = rendered_library(tmp_path_factory.mktemp("heavy") / "library", run, N_FRAMES)
    settings = archive.root / "thumbs.toml"
    text = settings.read_text()
    assert "chunk_s = 60.0" in text
    settings.write_text(text.replace("chunk_s = 60.0", "chunk_s = 1.0"))
    return archive


@pytest.fixture
def heavy(rendered: Archive, tmp_path: Path) -> Archive:
    return copied(rendered, tmp_path / "library")


def mtimes(archive: Archive) -> dict[str, int]:
    """When each published variant was written; that all are there is asserted on the way."""
    found = [path for folder in ("thumbnails", "smalls") for path in archive.root.glob(f"cameras/*/*/{folder}/t*.jpg")]
    made = {str(path): path.stat().st_mtime_ns for path in found}
    assert len(made) == 2 * N_FRAMES * len(KEYS), "an old picture is gone before its successor came"
    return made


def n_recorded(archive: Archive, url: str, backfill: str) -> int:
    """How many pictures the runs of a backfill have made and recorded so far."""
    run_ids = [one["runId"] for one in runs(url, backfill=backfill)]
    rows = open_library(str(archive.root)).manifest.read(KEYS)
    return rows.filter(pl.col("run_id").is_in(run_ids)).height


def n_told(archive: Archive, run: Run) -> int:
    """The same as `status` tells, which takes seconds."""
    found = run("status", "--library", archive.root, "--json").json["runs"]
    return sum(live["progress"]["n_done"] for live in found if live["progress"] is not None)


def test_a_forced_backfill_survives_a_kill_and_a_cancel_and_redoes_nothing(heavy: Archive, run: Run) -> None:
    before = mtimes(heavy)

    def renewed() -> set[str]:
        return {name for name, at_ns in mtimes(heavy).items() if at_ns != before[name]}

    with up(heavy) as page:
        url = page.url
        until(lambda: set(partitions(url)) == set(KEYS), "the code, loaded")
        first = launch_backfill(url, KEYS, FORCE)
        until(lambda: n_recorded(heavy, url, first) >= N_RECORDED, "the first pictures made again, and recorded")
        with standing_still(heavy):  # a fast machine would be done before `status` has answered
            [killed] = runs(url, backfill=first)
            assert {"key": "thumb_pipeline/lane", "value": "regeneration"} in killed["tags"]
            n_certain = n_told(heavy, run)
            assert n_certain >= N_RECORDED
            os.kill(process_of(url, killed["runId"]), signal.SIGKILL)
        made = {name: at_ns for name, at_ns in mtimes(heavy).items() if at_ns != before[name]}
        until(lambda: len(statuses(url, backfill=first)) == 2, "the run that goes on with the killed one")
        until(lambda: len(renewed()) > len(made) + N_IN_FLIGHT, "its first pictures")

        asked(url, CANCEL, id=first)
        terminate(url, *(live["runId"] for live in runs(url, "STARTED", "STARTING", "QUEUED", backfill=first)))
        until(lambda: backfill_status(url, first) == "CANCELED", "the cancelled backfill's end")
        kept = {name: at_ns for name, at_ns in mtimes(heavy).items() if at_ns != before[name]}
        assert 0 < len(kept) < len(before)

        second = asked(url, REPEAT, id=first)["backfillId"]
        until(lambda: runs(url, "SUCCESS", "FAILURE", backfill=second), "the repeated backfill's run")
        assert statuses(url, backfill=second) == ["SUCCESS"]
        after = mtimes(heavy)
        assert all(after[name] != before[name] for name in before)
        n_unrecorded = len(made) - n_certain  # published since the last record, and in flight: these are made twice
        assert sum(after[name] != at_ns for name, at_ns in made.items()) <= n_unrecorded + N_IN_FLIGHT
        assert n_unrecorded + N_IN_FLIGHT < len(made)
        assert sum(after[name] != at_ns for name, at_ns in kept.items()) <= N_IN_FLIGHT


def test_a_forced_backfill_goes_on_after_a_restart_of_the_services(heavy: Archive) -> None:
    before = mtimes(heavy)
    with up(heavy) as page:
        url = page.url
        until(lambda: set(partitions(url)) == set(KEYS), "the code, loaded")
        backfill = launch_backfill(url, KEYS, FORCE)
        until(lambda: mtimes(heavy) != before, "the first picture made again")
    kept = {name: at_ns for name, at_ns in mtimes(heavy).items() if at_ns != before[name]}
    with up(heavy) as page:
        url = page.url
        until(lambda: runs(url, "SUCCESS", backfill=backfill), "a run that does what was left")
    after = mtimes(heavy)
    assert all(after[name] != before[name] for name in before)
    assert sum(after[name] != at_ns for name, at_ns in kept.items()) <= N_IN_FLIGHT
