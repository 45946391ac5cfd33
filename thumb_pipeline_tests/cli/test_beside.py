"""New captures and pictures on demand beside work in bulk over the same timelapse, with `up` as it comes."""

import io
import json
import os
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from thumb_pipeline_tests.cli.conftest import Archive, Run, copied
from thumb_pipeline_tests.cli.served import asked, until, up
from thumb_pipeline_tests.cli.test_backfill import FORCE, LAUNCH, PARTITIONS, Page
from thumb_pipeline_tests.cli.test_letting_it_run import captures_runs, is_rendered, variants_of

pytestmark = [pytest.mark.daemon, pytest.mark.usefixtures("storage")]

KEY = "camera-1/timelapse-1"
N_OLD = 360
N_NEW = 6
DONE_WITHIN_S = 9.0


def large_jpeg() -> bytes:
    """A frame whose variants take a while."""
    buffer = io.BytesIO()
    Image.effect_noise((2400, 1800), 80).convert("RGB").save(buffer, "JPEG", quality=70)
    return buffer.getvalue()


def launched(url: str, job: str, op: str, config: dict[str, object]) -> str:
    """Launches a job over GraphQL, as a page does; returns the run's id."""
    mutation = """mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) {
        __typename ... on LaunchRunSuccess { run { runId } } } }"""
    selector = {"repositoryLocationName": "thumb_pipeline", "repositoryName": "__repository__", "jobName": job}
    params = {"selector": selector, "runConfigData": {"ops": {op: {"config": config}}}}
    body = json.dumps({"query": mutation, "variables": {"params": params}}).encode()
    request = urllib.request.Request(f"{url}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        run: Any = json.load(answer)["data"]["launchRun"]["run"]
    return str(run["runId"])


def status(url: str, run_id: str) -> str:
    return str(asked(url, f'{{ runOrError(runId: "{run_id}") {{ ... on Run {{ status }} }} }}')["runOrError"]["status"])


def n_recorded(run: Run, archive: Archive, run_ids: list[str]) -> int:
    """How many variants these runs have made and recorded so far, as `status` tells."""
    found = run("status", "--library", archive.root, "--json").json["runs"]
    return sum(live["progress"]["n_done"] for live in found if live["run_id"] in run_ids and live["progress"])


class Watched:
    """New captures, and how long each took from `close()` to both variants."""

    def __init__(self, archive: Archive) -> None:
        self.frames: list[Path] = []
        self.took_s: list[float] = []
        self._archive = archive

    def add(self) -> None:
        """The next one, which is waited for."""
        frame, closed_s = self._archive.add(f"new-{len(self.frames)}.jpg"), time.monotonic()
        self.frames.append(frame)
        until(lambda: is_rendered(frame), "the new capture")
        self.took_s.append(time.monotonic() - closed_s)


@pytest.fixture(scope="module")
def old_frames(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """A timelapse with its variants, whose regeneration takes a while."""
    template = Archive(tmp_path_factory.mktemp("old") / "library")
    assert run("init", template.root).code == 0
    first = template.add("old-000.jpg", large_jpeg())
    for number in range(1, N_OLD):
        os.link(first, first.with_name(f"old-{number:03d}.jpg"))
    assert run("generate", "--library", template.root).code == 0
    return template


def test_captures_and_pictures_on_demand_do_not_wait_for_work_in_bulk_which_advances(
    old_frames: Archive, tmp_path: Path, run: Run
) -> None:
    archive = copied(old_frames, tmp_path / "library")
    old = sorted(archive.frames().iterdir())
    before_ns, new = time.time_ns(), Watched(archive)
    with up(archive) as started:
        url, page = started.url, Page(started.url)
        until(lambda: captures_runs(url) == ["STARTED"], "the run that waits for captures")
        until(lambda: page.ask(PARTITIONS).get("partitionKeys"), "the code, loaded")
        params = {"assetSelection": [{"path": ["thumbnails"]}], "partitionNames": [KEY], "runConfigData": FORCE}
        backfill = page.ask(LAUNCH, params=params)["backfillId"]
        until(lambda: page.runs(backfill, "STARTED"), "the backfill's run")
        bulk = [page.runs(backfill)[0]["runId"], launched(url, "generate", "take_order", {"force": True})]
        until(
            lambda: [status(url, one) for one in bulk] == ["STARTED"] * 2,
            "both runs in bulk: all that their pool takes",
        )
        until(lambda: n_recorded(run, archive, bulk) > 0, "a first part of the bulk")

        wanted = launched(
            url, "generate_on_demand", "render_named", {"timelapse": KEY, "sources": [old[0].name], "force": True}
        )
        new.add()
        n_before = n_recorded(run, archive, bulk)
        for _ in range(N_NEW - 1):
            new.add()
            time.sleep(1.0)
        until(lambda: status(url, wanted) == "SUCCESS", "the picture on demand")
        n_after = n_recorded(run, archive, bulk)
        assert "STARTED" in [status(url, one) for one in bulk], "captures and demand waited for the bulk"
        assert n_after > n_before, "the bulk stood still"
        assert max(new.took_s) <= DONE_WITHIN_S, new.took_s
        until(lambda: [status(url, one) for one in bulk] == ["SUCCESS"] * 2, "the end of the bulk")
    rendered = [variant for frame in [*old, *new.frames] for variant in variants_of(frame)]
    assert all(variant.stat().st_mtime_ns > before_ns for variant in rendered)
    verified = run("verify", "--library", archive.root, "--json")
    assert verified.json["valid"] == 2 * (N_OLD + N_NEW), verified.out
    assert archive.leftovers() == []
