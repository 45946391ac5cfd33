"""New captures and pictures on demand beside work in bulk over the same timelapse, with `up` as it comes."""

import io
import json
import os
import time
import urllib.request
from typing import Any

import pytest
from PIL import Image

from thumb_pipeline_tests.cli.conftest import Archive, Run
from thumb_pipeline_tests.cli.test_letting_it_run import asked, captures_runs, is_rendered, until, up, variants_of

pytestmark = pytest.mark.slow

KEY = "camera-1/timelapse-1"
N_OLD = 90


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


def test_captures_and_pictures_on_demand_do_not_wait_for_work_in_bulk_which_gets_done(
    archive: Archive, run: Run
) -> None:
    first = archive.add("old-000.jpg", large_jpeg())
    old = [first, *(first.with_name(f"old-{number:03d}.jpg") for number in range(1, N_OLD))]
    for path in old[1:]:
        os.link(first, path)
    assert run("generate", "--library", archive.root).code == 0
    before_ns = time.time_ns()
    with up(archive) as page:
        url = page["url"]
        until(lambda: captures_runs(url) == ["STARTED"], "the run that waits for captures")
        bulk = [launched(url, "generate", "take_order", {"force": True}) for _ in range(2)]  # all that its pool takes
        until(lambda: [status(url, one) for one in bulk] == ["STARTED"] * 2, "both runs in bulk")
        wanted = launched(
            url, "generate_on_demand", "render_named", {"timelapse": KEY, "sources": [old[0].name], "force": True}
        )
        new = [archive.add(f"new-{number}.jpg") for number in range(8)]
        until(lambda: all(map(is_rendered, new)), "the new captures")
        assert "STARTED" in [status(url, one) for one in bulk], "the captures waited for the bulk"
        until(lambda: status(url, wanted) == "SUCCESS", "the picture on demand")
        assert "STARTED" in [status(url, one) for one in bulk], "the picture on demand waited for the bulk"
        until(lambda: [status(url, one) for one in bulk] == ["SUCCESS"] * 2, "the end of the bulk")
    rendered = [variant for frame in [*old, *new] for variant in variants_of(frame)]
    assert all(variant.stat().st_mtime_ns > before_ns for variant in rendered)
    verified = run("verify", "--library", archive.root, "--json")
    assert verified.json["valid"] == 2 * (N_OLD + 8), verified.out
    assert archive.leftovers() == []
