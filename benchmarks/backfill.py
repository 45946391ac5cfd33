"""Measures a full regeneration launched as the UI launches it: a forced backfill of `thumbnails` over many timelapses.

    .venv/bin/python benchmarks/backfill.py [SCRATCH_FOLDER] [--timelapses 500 5000] [--postgres] [--every N]
        [--only-backfill]

Each library has so many timelapses of two small frames. They arrive while `up` runs, as new captures; when that
has come to rest, the backfill is launched over GraphQL, and what the UI's pages ask is asked all the while.
"""

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thumb_pipeline.imaging.demo.sky import sky_jpeg
from thumb_pipeline.stages.captures import memory
from thumb_pipeline.stages.inventory.listing import discover
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.library.open import initialise, open_library
from thumb_pipeline.stages.library.run_database import POSTGRES_VARIABLE

_FRAME_SIZE = (640, 360)
_N_FRAMES = 2
_LONGEST_S = 1800.0
_PAUSE_S = 2.0
_COMMAND = [sys.executable, "-c", "from thumb_pipeline.cli import main; main()"]
_ENDED = {"SUCCESS", "FAILURE", "CANCELED"}
_FORCE = {"ops": {"thumbnails": {"ops": {"cut_plan": {"config": {"force": True}}}}}}

_LAUNCH = """mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
_BACKFILL = "query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"
_KEYS = '{ assetNodeOrError(assetKey: {path: ["thumbnails"]}) { ... on AssetNode { partitionKeys } } }'
_RUNS = """query($filter: RunsFilter) { runsOrError(filter: $filter, limit: 2000) {
  ... on Runs { results { runId status startTime endTime } } } }"""

_PAGES = {
    "runs": """{ runsFeedOrError(limit: 30, view: ROOTS) { ... on RunsFeedConnection { results {
      id runStatus creationTime startTime endTime tags { key value } jobName assetSelection { path }
      ... on PartitionBackfill { numPartitions partitionNames } } } } }""",
    "asset": """{ assetNodeOrError(assetKey: {path: ["thumbnails"]}) { ... on AssetNode { id
      partitionKeysByDimension { name partitionKeys }
      assetPartitionStatuses { ... on DefaultPartitionStatuses {
        materializedPartitions failedPartitions materializingPartitions unmaterializedPartitions } }
      partitionStats { numMaterialized numPartitions numFailed numMaterializing } } } }""",
    "events": """{ assetOrError(assetKey: {path: ["thumbnails"]}) { ... on Asset { assetMaterializations(limit: 50) {
      timestamp partition runId metadataEntries { label } } } } }""",
}
"""What the page of all runs, the page of the asset, and its list of events ask for."""


@dataclass(slots=True)
class Page:
    """The running service: asks it, and remembers how long what took."""

    url: str
    took_s: dict[str, list[float]] = field(default_factory=dict)

    def ask(self, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            found = json.load(answer)
        if found.get("errors"):
            raise RuntimeError(found["errors"])
        return next(iter(found["data"].values()))

    def look(self) -> None:
        """Asks what the pages ask."""
        for name, query in _PAGES.items():
            began_s = time.monotonic()
            self.ask(query)
            self.took_s.setdefault(name, []).append(time.monotonic() - began_s)

    def runs(self, **chosen: Any) -> list[dict[str, Any]]:
        return list(self.ask(_RUNS, filter=chosen)["results"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scratch", nargs="?", type=Path)
    parser.add_argument("--timelapses", nargs="*", type=int, default=[500, 5000])
    parser.add_argument("--postgres", action="store_true", help="runs and events in a real PostgreSQL")
    parser.add_argument("--every", type=int, default=1, help="only each so-many-th timelapse")
    parser.add_argument("--only-backfill", action="store_true", help="no new captures first: nothing is rendered yet")
    chosen = parser.parse_args()
    for count in chosen.timelapses:
        with contextlib.ExitStack() as stack:
            scratch = chosen.scratch or Path(stack.enter_context(tempfile.TemporaryDirectory()))
            if chosen.postgres:
                os.environ[POSTGRES_VARIABLE] = stack.enter_context(_postgres())
            print(f"## {count} timelapses on {'PostgreSQL' if chosen.postgres else 'SQLite'}", flush=True)
            measure(scratch / f"backfill-{count}", count, chosen)


def measure(root: Path, count: int, chosen: argparse.Namespace) -> None:
    library = _library(root, count)
    with contextlib.ExitStack() as stack:
        if chosen.only_backfill:
            _register(library)
            stack.enter_context(memory.watching(library))  # so the sensor leaves it alone
        page = stack.enter_context(_up(library))
        while "partitionKeys" not in page.ask(_KEYS):  # the page answers before it has loaded the code
            time.sleep(0.2)
        if not chosen.only_backfill:
            _wait_for_captures(library, page, count)
        keys = list(page.ask(_KEYS)["partitionKeys"])[:: chosen.every]
        _backfill(library, page, keys)


def _wait_for_captures(library: Library, page: Page, count: int) -> None:
    began_s = time.monotonic()
    until_s = began_s + _LONGEST_S
    while len(page.ask(_KEYS)["partitionKeys"]) < count and time.monotonic() < until_s:
        time.sleep(0.5)
    _say("new captures: all partitions there after", time.monotonic() - began_s)
    while len(_mtimes(library)) < count * _N_FRAMES * 2 and time.monotonic() < until_s:
        time.sleep(0.5)
    _say("new captures: all variants there after", time.monotonic() - began_s)
    while page.ask(_PAGES["asset"])["partitionStats"]["numMaterialized"] < count and time.monotonic() < until_s:
        time.sleep(_PAUSE_S)
    _say("new captures: all reported after", time.monotonic() - began_s)


def _backfill(library: Library, page: Page, keys: list[str]) -> None:
    launched_at_s = time.time()
    params = {"assetSelection": [{"path": ["thumbnails"]}], "partitionNames": keys, "runConfigData": _FORCE}
    launched = page.ask(_LAUNCH, params=params)
    if "backfillId" not in launched:
        raise RuntimeError(launched)
    _say("backfill: launched in", time.time() - launched_at_s)
    while page.ask(_BACKFILL, id=launched["backfillId"])["status"] in ("REQUESTED", "CANCELING"):
        page.look()
        time.sleep(_PAUSE_S)
        if time.time() - launched_at_s > _LONGEST_S:
            raise RuntimeError(f"not done after {_LONGEST_S:.0f} s")
    _say("backfill: Dagster calls it done after", time.time() - launched_at_s)
    runs = page.runs(tags=[{"key": "dagster/backfill", "value": launched["backfillId"]}])
    if any(run["status"] not in _ENDED for run in runs):
        raise RuntimeError("runs are under way though the backfill is over")
    _report(library, page, runs, keys, launched_at_s)


def _report(library: Library, page: Page, runs: list[dict[str, Any]], keys: list[str], launched_at_s: float) -> None:
    chosen = set(keys)
    made = [mtime_s for key, mtime_s in _mtimes(library) if key in chosen and mtime_s >= launched_at_s]
    _say("backfill: first run STARTED after", min(run["startTime"] for run in runs) - launched_at_s)
    _say("backfill: first variant rendered after", min(made) - launched_at_s)
    end_s = max(run["endTime"] for run in runs) - launched_at_s
    _say("backfill: last run ended after", end_s)
    working_s = sum(run["endTime"] - run["startTime"] for run in runs)
    statuses = Counter(run["status"] for run in runs)
    print(f"backfill: {len(runs)} runs {dict(statuses)}, {working_s:.1f} s of runs in all")
    print(f"backfill: {len(made)} of {len(keys) * _N_FRAMES * 2} variants rendered")
    print(f"backfill: {end_s / len(keys) * 1000:.1f} ms a timelapse, {working_s / len(keys) * 1000:.1f} ms of runs")
    for name, took_s in page.took_s.items():
        took_ms = sorted(1000 * took for took in took_s)
        p95_ms = took_ms[min(len(took_ms) - 1, int(len(took_ms) * 0.95))]
        figures = f"p50 {statistics.median(took_ms):.0f} ms, p95 {p95_ms:.0f} ms, longest {took_ms[-1]:.0f} ms"
        print(f"page {name}: {len(took_ms)} answers, {figures}", flush=True)


def _say(what: str, took_s: float) -> None:
    print(f"{what} {took_s:.1f} s", flush=True)


def _library(root: Path, count: int) -> Library:
    """So many timelapses, twenty a camera; each frame a file of its own, as hard links would change together."""
    initialise(str(root))
    library = open_library(str(root))
    drawn = [sky_jpeg(number / 12, size=_FRAME_SIZE, seed=7) for number in range(12)]
    for number in range(1, count + 1):
        folder = Path(library.frames(f"camera-{(number - 1) // 20 + 1}/timelapse-{number}"))
        folder.mkdir(parents=True, exist_ok=True)
        for frame in range(_N_FRAMES):
            path = folder / f"timelapse-{number}_20300101_{frame:06d}.jpg"
            path.write_bytes(drawn[(number + frame) % len(drawn)])
    return library


def _mtimes(library: Library) -> list[tuple[str, float]]:
    """Key and mtime of each variant."""
    folders = Path(library.variants_root, "cameras")
    published = [path for name in ("thumbnails", "smalls") for path in folders.glob(f"*/*/{name}/timelapse-*.jpg")]
    return [(f"{path.parts[-4]}/{path.parts[-3]}", path.stat().st_mtime) for path in published]


def _register(library: Library) -> None:
    from thumb_pipeline.cli.dagster.runs import instance_of
    from thumb_pipeline.defs.partitions import register_timelapses

    began_s = time.monotonic()
    with instance_of(library) as instance:
        register_timelapses(instance, discover(library).keys)
    _say("partitions added in", time.monotonic() - began_s)


@contextlib.contextmanager
def _up(library: Library) -> Iterator[Page]:
    command = [*_COMMAND, "up", "--library", library.root, "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        printed = json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")
        yield Page(printed["url"])
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


@contextlib.contextmanager
def _postgres() -> Iterator[str]:
    """The address of a new database; the server of the tests, which is their development dependency."""
    from thumb_pipeline_tests.postgres import Postgres

    server = Postgres()
    try:
        yield server.fresh()
    finally:
        server.stop()


if __name__ == "__main__":
    main()
