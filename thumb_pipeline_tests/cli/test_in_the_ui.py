"""`up` on an empty library, frames copied in, nothing else touched: what the UI then shows."""

import re
from pathlib import Path
from typing import Any

import pytest

from thumb_pipeline_tests.cli.conftest import Archive, is_rendered, jpeg
from thumb_pipeline_tests.cli.page import asked, partitions, runs
from thumb_pipeline_tests.cli.served import until, up

pytestmark = [pytest.mark.daemon, pytest.mark.usefixtures("storage")]

REPOSITORY = Path(__file__).parents[2]
HERE = '{repositoryLocationName: "thumb_pipeline", repositoryName: "__repository__"}'
SENSORS = (
    f"{{ sensorsOrError(repositorySelector: {HERE}) {{ ... on Sensors {{ "
    "results { name sensorState { status ticks(limit: 9) { status } } } } } }"
)
SCHEDULES = (
    f"{{ schedulesOrError(repositorySelector: {HERE}) {{ ... on Schedules {{ "
    "results { name scheduleState { status } } } } }"
)
CHECKS = "{ assetNodes { assetChecksOrError { ... on AssetChecks { checks { name } } } } }"
MATERIALIZED = """{ assetNodeOrError(assetKey: {path: ["thumbnails"]}) { ... on AssetNode {
  assetMaterializations { partition } } } }"""

KEYS = ["camera-1/timelapse-1", "camera-2/timelapse-2"]
QUESTIONS = {"complete", "current", "intact", "no_orphans", "failure_rate", "freshness", "settings"}


def documented_schedules() -> dict[str, str]:
    """The schedules as documented, and whether each is on until an operator says otherwise."""
    words = {"on": "RUNNING", "off": "STOPPED"}
    rows = re.findall(r"(?m)^\| `(nightly_\w+)` \| .* \| (on|off) \|", (REPOSITORY / "docs/in-dagster.md").read_text())
    return {name: words[state] for name, state in rows}


def sensors(url: str) -> dict[str, Any]:
    return {found["name"]: found["sensorState"] for found in asked(url, SENSORS)["results"]}


def schedules(url: str) -> dict[str, str]:
    found = asked(url, SCHEDULES)["results"]
    return {schedule["name"]: schedule["scheduleState"]["status"] for schedule in found}


def lanes(url: str) -> set[tuple[str, str]]:
    """Each job that has runs, with the lane that they bear."""
    tags = [(run["jobName"], {tag["key"]: tag["value"] for tag in run["tags"]}) for run in runs(url)]
    return {(job, found.get("thumb_pipeline/lane", "none")) for job, found in tags}


def checks(url: str) -> set[str]:
    nodes = asked(url, CHECKS)
    return {check["name"] for node in nodes for check in node["assetChecksOrError"].get("checks", [])}


def materialized(url: str) -> set[str]:
    return {found["partition"] for found in asked(url, MATERIALIZED)["assetMaterializations"]}


def test_sensor_schedules_lanes_checks_and_partitions_are_shown(archive: Archive) -> None:
    with up(archive) as page:
        url = page.url
        until(lambda: "new_captures_sensor" in sensors(url), "the code, loaded")
        assert partitions(url) == []
        frames = [archive.add(f"{number}.jpg", jpeg(), key=KEYS[number % 2]) for number in range(4)]
        until(lambda: all(map(is_rendered, frames)), "the frames")
        until(lambda: sorted(partitions(url)) == KEYS, "their partitions")
        until(lambda: materialized(url) == set(KEYS), "their materializations")
        until(lambda: len(sensors(url)["new_captures_sensor"]["ticks"]) > 1, "further ticks")
        (sensor,) = sensors(url).values()
        assert sensor["status"] == "RUNNING"
        assert "FAILURE" not in {tick["status"] for tick in sensor["ticks"]}
        assert schedules(url) == documented_schedules()
        assert lanes(url) == {("new_captures", "captures")}
        assert checks(url) == QUESTIONS
