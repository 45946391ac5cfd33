"""Full regeneration as the UI launches it, on a real daemon: killed, cancelled, and taken up again."""

import io
import json
import os
import re
import signal
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from PIL import Image

from thumb_pipeline.stages.library import open_library
from thumb_pipeline_tests.cli.conftest import Archive, Run, copied
from thumb_pipeline_tests.cli.served import until, up

pytestmark = [pytest.mark.daemon, pytest.mark.usefixtures("storage")]

KEYS = ["camera-1/timelapse-1", "camera-1/timelapse-2", "camera-2/timelapse-3"]
N_FRAMES = 60
N_IN_FLIGHT = 4
N_RECORDED = 8
FORCE = {"ops": {"thumbnails": {"ops": {"cut_plan": {"config": {"force": True}}}}}}

PARTITIONS = '{ assetNodeOrError(assetKey: {path: ["thumbnails"]}) { ... on AssetNode { partitionKeys } } }'
LAUNCH = """mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
CANCEL = """mutation($id: String!) { cancelPartitionBackfill(backfillId: $id) { __typename } }"""
TERMINATE = """mutation($ids: [String!]!) { terminateRuns(runIds: $ids) { __typename } }"""
REPEAT = """mutation($id: String!) { reexecutePartitionBackfill(reexecutionParams:
  {parentRunId: $id, strategy: FROM_FAILURE}) {
  ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
STATUS = "query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"
RUNS = """query($id: String!) { runsOrError(filter: {tags: [{key: "dagster/backfill", value: $id}]}) {
  ... on Runs { results { runId status tags { key value } } } } }"""
EVENTS = """query($id: ID!) { runOrError(runId: $id) { ... on Run { eventConnection { events {
  ... on MessageEvent { message } } } } } }"""


class Page:
    """What the UI asks and orders."""

    def __init__(self, url: str) -> None:
        self._url = url

    def ask(self, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self._url}/graphql", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                found = json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from error
        assert "errors" not in found, found
        return next(iter(found["data"].values()))

    def status(self, backfill: str) -> str:
        return str(self.ask(STATUS, id=backfill)["status"])

    def runs(self, backfill: str, *statuses: str) -> list[dict[str, Any]]:
        found = self.ask(RUNS, id=backfill)["results"]
        return [run for run in found if not statuses or run["status"] in statuses]

    def process_of(self, run: str) -> int:
        """The process that executes a run, as its first events tell."""
        events = self.ask(EVENTS, id=run)["eventConnection"]["events"]
        told = [re.search(r"pid: (\d+)", event.get("message", "")) for event in events]
        return next(int(found[1]) for found in told if found)


def rendered_library(root: Path, run: Run, n_frames: int) -> Archive:
    """Timelapses whose frames take a while each, all of them rendered; from now on by one worker."""
    archive = Archive(root)
    assert run("init", root).code == 0
    buffer = io.BytesIO()
    Image.frombytes("RGB", (1600, 1200), os.urandom(1600 * 1200 * 3)).save(buffer, "PNG", compress_level=1)
    first = archive.add("a.png", buffer.getvalue(), KEYS[0])
    for number, key in enumerate(KEYS, 1):
        archive.frames(key).mkdir(parents=True, exist_ok=True)
        for frame in range(n_frames):
            os.link(first, archive.frames(key) / f"timelapse-{number}_20250422_{frame:06d}.png")
    first.unlink()
    assert run("generate", "--library", archive.root).code == 0
    settings = archive.root / "thumbs.toml"
    settings.write_text(settings.read_text().replace("workers = 0", "workers = 1"))
    return archive


@pytest.fixture(scope="module")
def rendered(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return rendered_library(tmp_path_factory.mktemp("heavy") / "library", run, N_FRAMES)


@pytest.fixture
def heavy(rendered: Archive, tmp_path: Path) -> Archive:
    return copied(rendered, tmp_path / "library")


def mtimes(archive: Archive) -> dict[str, int]:
    """When each published variant was written; that all are there is asserted on the way."""
    found = [path for folder in ("thumbnails", "smalls") for path in archive.root.glob(f"cameras/*/*/{folder}/t*.jpg")]
    made = {str(path): path.stat().st_mtime_ns for path in found}
    assert len(made) == 2 * N_FRAMES * len(KEYS), "an old picture is gone before its successor came"
    return made


def n_recorded(archive: Archive, page: Page, backfill: str) -> int:
    """How many pictures the runs of a backfill have made and recorded so far."""
    rows = open_library(str(archive.root)).manifest.read(KEYS)
    return rows.filter(pl.col("run_id").is_in([run["runId"] for run in page.runs(backfill)])).height


def n_told(archive: Archive, run: Run) -> int:
    """The same as `status` tells, which takes seconds: more of the run is done by then."""
    found = run("status", "--library", archive.root, "--json").json["runs"]
    return sum(live["progress"]["n_done"] for live in found if live["progress"] is not None)


def test_a_forced_backfill_survives_a_kill_and_a_cancel_and_redoes_nothing(heavy: Archive, run: Run) -> None:
    before = mtimes(heavy)

    def renewed() -> set[str]:
        return {name for name, at_ns in mtimes(heavy).items() if at_ns != before[name]}

    with up(heavy) as started:
        page = Page(started.url)
        until(lambda: set(page.ask(PARTITIONS).get("partitionKeys", [])) == set(KEYS), "the code, loaded")
        params = {"assetSelection": [{"path": ["thumbnails"]}], "partitionNames": KEYS, "runConfigData": FORCE}
        first = page.ask(LAUNCH, params=params)["backfillId"]
        until(lambda: n_recorded(heavy, page, first) >= N_RECORDED, "the first pictures made again, and recorded")
        [killed] = page.runs(first)
        assert {"key": "thumb_pipeline/lane", "value": "regeneration"} in killed["tags"]

        n_certain = n_told(heavy, run)
        assert n_certain >= N_RECORDED
        os.kill(page.process_of(killed["runId"]), signal.SIGKILL)
        made = {name: at_ns for name, at_ns in mtimes(heavy).items() if at_ns != before[name]}
        until(lambda: len(page.runs(first)) == 2, "the run that goes on with the killed one")
        until(lambda: len(renewed()) > len(made) + N_IN_FLIGHT, "its first pictures")

        page.ask(CANCEL, id=first)
        page.ask(TERMINATE, ids=[live["runId"] for live in page.runs(first, "STARTED", "STARTING", "QUEUED")])
        until(lambda: page.status(first) == "CANCELED", "the cancelled backfill's end")
        kept = {name: at_ns for name, at_ns in mtimes(heavy).items() if at_ns != before[name]}
        assert 0 < len(kept) < len(before)

        second = page.ask(REPEAT, id=first)["backfillId"]
        until(lambda: page.runs(second, "SUCCESS", "FAILURE"), "the repeated backfill's run")
        assert [ended["status"] for ended in page.runs(second)] == ["SUCCESS"]
        after = mtimes(heavy)
        assert all(after[name] != before[name] for name in before)
        n_unrecorded = len(made) - n_certain  # published since the last record, and in flight: these are made twice
        assert sum(after[name] != at_ns for name, at_ns in made.items()) <= n_unrecorded + N_IN_FLIGHT
        assert n_unrecorded + N_IN_FLIGHT < len(made)
        assert sum(after[name] != at_ns for name, at_ns in kept.items()) <= N_IN_FLIGHT


def test_a_forced_backfill_goes_on_after_a_restart_of_the_services(heavy: Archive) -> None:
    before = mtimes(heavy)
    with up(heavy) as started:
        page = Page(started.url)
        until(lambda: set(page.ask(PARTITIONS).get("partitionKeys", [])) == set(KEYS), "the code, loaded")
        params = {"assetSelection": [{"path": ["thumbnails"]}], "partitionNames": KEYS, "runConfigData": FORCE}
        backfill = page.ask(LAUNCH, params=params)["backfillId"]
        until(lambda: mtimes(heavy) != before, "the first picture made again")
    kept = {name: at_ns for name, at_ns in mtimes(heavy).items() if at_ns != before[name]}
    with up(heavy) as started:
        page = Page(started.url)
        until(lambda: page.runs(backfill, "SUCCESS"), "a run that does what was left")
    after = mtimes(heavy)
    assert all(after[name] != before[name] for name in before)
    assert sum(after[name] != at_ns for name, at_ns in kept.items()) <= N_IN_FLIGHT
