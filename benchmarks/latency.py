"""Measures the time from `close()` of a frame's file to both of its variants being in place, with `up` as it comes.

    .venv/bin/python benchmarks/latency.py [SCRATCH_FOLDER] [--only quiet cold warm cameras beside]
                                           [--minutes 10] [--frames 15] [--bulk-frames 4000]

`quiet`: single frames, each met by a run whose workers have gone, as after any longer pause. `cold`: the same without
`captures.keep_warm`: each is met by no run. `warm`: single frames at random moments, met by what the one before has
left. `cameras`: one frame every 10 s on each of 20 cameras. `beside`: five cameras write into five timelapses while
a forced backfill of these renders everything again, and goes on alone afterwards; at the end that is rendered once more
by a command with all cores and nobody else, to compare the rates.
"""

import argparse
import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from thumb_pipeline.domain.names import variant_name
from thumb_pipeline.domain.settings import for_timelapse
from thumb_pipeline.imaging.demo.sky import sky_jpeg
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.library.open import initialise, open_library

_FRAME_SIZE = (1920, 1080)
_N_DRAWN = 12
_N_CAMERAS = 20
_PERIOD_S = 10.0
_N_BESIDE = 5
_BESIDE_EVERY_S = 1.0
_ALONE_S = 20.0
_LONGEST_S = 60.0
_UNFINISHED = "QUEUED, NOT_STARTED, STARTING, STARTED, CANCELING"
_COMMAND = [sys.executable, "-c", "from thumb_pipeline.cli import main; main()"]


@dataclass(slots=True)
class Frame:
    """One frame: its variants, when its file was closed, when both were there."""

    targets: list[Path]
    closed_s: float
    took_s: float | None = None


@dataclass(slots=True)
class Watcher:
    """Notices when variants are there, every 20 ms, without asking the pipeline."""

    waiting: list[Frame] = field(default_factory=list)
    done: list[Frame] = field(default_factory=list)
    backlog: list[int] = field(default_factory=list)
    is_over: bool = False

    def watch(self) -> None:
        while not self.is_over:
            now_s = time.monotonic()
            for frame in list(self.waiting):
                if all(target.exists() for target in frame.targets):
                    frame.took_s = now_s - frame.closed_s
                    self.waiting.remove(frame)
                    self.done.append(frame)
            self.backlog.append(len(self.waiting))
            time.sleep(0.02)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scratch", nargs="?", type=Path)
    parser.add_argument("--only", nargs="*", choices=list(SCENARIOS), default=list(SCENARIOS))
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--frames", type=int, default=15)
    parser.add_argument("--bulk-frames", type=int, default=4000, help="of `beside`, over all its timelapses")
    parser.add_argument("--linger-s", type=float, default=30.0, help="of `cameras`; 0 makes a run for each tick")
    chosen = parser.parse_args()
    drawn = [sky_jpeg(number / _N_DRAWN, size=_FRAME_SIZE, seed=7) for number in range(_N_DRAWN)]
    with contextlib.ExitStack() as stack:
        scratch = chosen.scratch or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        print("| scenario | frames | p50 | p95 | longest | never | to reach |\n|---|---|---|---|---|---|---|")
        for name in chosen.only:
            print(SCENARIOS[name](scratch / name, drawn, chosen), flush=True)


def quiet(scratch: Path, drawn: list[bytes], chosen: argparse.Namespace) -> str:
    library = _library(scratch, 1)
    _set(library, linger_s=0.0)
    with _up(library) as url, _watched() as watcher:
        _wait_until(lambda: bool(_runs(url, "STARTED")))
        for number in range(chosen.frames + 1):  # the first one makes the partition
            time.sleep(random.uniform(3.0, 8.0))
            _put(library, watcher, 1, number, drawn)
            _wait_until_done(watcher)
        return _line("one frame in a quiet system", watcher.done[1:], watcher, "p50 3 s")


def cold(scratch: Path, drawn: list[bytes], chosen: argparse.Namespace) -> str:
    library = _library(scratch, 1)
    _set(library, linger_s=0.0, keep_warm=False)
    with _up(library) as url, _watched() as watcher:
        for number in range(chosen.frames + 1):
            _wait_until(lambda: not _runs(url, _UNFINISHED))
            time.sleep(random.uniform(1.0, 8.0))
            _put(library, watcher, 1, number, drawn)
            _wait_until_done(watcher)
        return _line("one frame in a quiet system, no run kept", watcher.done[1:], watcher, "")


def warm(scratch: Path, drawn: list[bytes], chosen: argparse.Namespace) -> str:
    library = _library(scratch, 1)
    with _up(library), _watched() as watcher:
        for number in range(chosen.frames):
            time.sleep(random.uniform(2.0, 8.0))
            _put(library, watcher, 1, number, drawn)
        _wait_until_done(watcher)
        return _line("one frame every few seconds", watcher.done[1:], watcher, "")


def cameras(scratch: Path, drawn: list[bytes], chosen: argparse.Namespace) -> str:
    library = _library(scratch, _N_CAMERAS)
    _set(library, linger_s=chosen.linger_s)
    with _up(library) as url, _watched() as watcher:
        began_s = time.monotonic()
        n_frames = int(chosen.minutes * 60 / _PERIOD_S) * _N_CAMERAS
        for number in range(n_frames):
            due_s = began_s + number * _PERIOD_S / _N_CAMERAS
            time.sleep(max(0.0, due_s - time.monotonic()))
            _put(library, watcher, number % _N_CAMERAS + 1, number // _N_CAMERAS, drawn)
        _wait_until_done(watcher)
        n_runs = len(_runs(url, None))
        half = len(watcher.backlog) // 2
        means = [statistics.mean(part) for part in (watcher.backlog[:half], watcher.backlog[half:])]
        linger = "" if chosen.linger_s == 30.0 else f"linger_s = {chosen.linger_s:g}: "
        name = (
            f"{linger}20 cameras, one frame every 10 s each, {chosen.minutes:g} min ({n_runs} runs; frames waiting, "
            f"mean of each half: {means[0]:.1f}, {means[1]:.1f})"
        )
        return _line(name, watcher.done, watcher, "p50 5 s, p95 9 s, backlog flat")


def beside(scratch: Path, drawn: list[bytes], chosen: argparse.Namespace) -> str:
    library = _library(scratch, _N_BESIDE)
    _fill(library, drawn, chosen.bulk_frames // _N_BESIDE)
    with _up(library) as url, _watched() as watcher:
        _wait_until(lambda: len(_partitions(url)) == _N_BESIDE)
        launched_at = datetime.now(UTC)
        backfill = _launch_backfill(url)
        _wait_until(lambda: _n_rendered(library, launched_at) > 0)
        began_s, n_before, number = time.monotonic(), _n_rendered(library, launched_at), 0
        while _is_under_way(url, backfill) and time.monotonic() - began_s < chosen.minutes * 60:
            _put(library, watcher, number % _N_BESIDE + 1, number // _N_BESIDE, drawn)
            number += 1
            time.sleep(max(0.0, began_s + number * _BESIDE_EVERY_S - time.monotonic()))
        _wait_until_done(watcher)
        half_s, n_half = time.monotonic(), _n_rendered(library, launched_at)
        time.sleep(_ALONE_S)
        alone = (_n_rendered(library, launched_at) - n_half) / (time.monotonic() - half_s)
        was = "goes on" if _is_under_way(url, backfill) else "has ended"
    by_command = _rate_of_command(library)
    rate = (n_half - n_before - len(watcher.done)) / (half_s - began_s)
    name = (
        f"a frame every {_BESIDE_EVERY_S:g} s beside a forced backfill of the same timelapses, which does {rate:.1f} "
        f"sources/s beside them and {alone:.1f} alone, and {was}; the command alone {by_command:.1f}"
    )
    return _line(name, watcher.done, watcher, "p50 5 s, p95 9 s")


SCENARIOS = {"quiet": quiet, "cold": cold, "warm": warm, "cameras": cameras, "beside": beside}


def _library(root: Path, n_timelapses: int) -> Library:
    initialise(str(root))
    library = open_library(str(root))
    for number in range(1, n_timelapses + 1):
        Path(library.frames(_key(number))).mkdir(parents=True, exist_ok=True)
    return library


def _fill(library: Library, drawn: list[bytes], n_frames: int) -> None:
    """Frames that are rendered already, as far as anybody can tell."""
    for timelapse in range(1, _N_BESIDE + 1):
        for number in range(n_frames):
            data = drawn[number % len(drawn)] + os.urandom(8) + b"\xff\xd9"
            Path(library.frames(_key(timelapse)), f"old-{number:05d}.jpg").write_bytes(data)
    subprocess.run([*_COMMAND, "generate", "--library", library.root], check=True, stdout=subprocess.DEVNULL)


def _n_rendered(library: Library, since: datetime) -> int:
    """How many sources were rendered since a moment, as far as that is recorded."""
    keys = [_key(number) for number in range(1, _N_BESIDE + 1)]
    return int(library.manifest.read(keys, where=pl.col("recorded_at") >= since)["source_name"].len()) // 2


def _rate_of_command(library: Library) -> float:
    """Sources a second that the command renders, `up` having ended."""
    command = [*_COMMAND, "generate", "--force", "--json", "--library", library.root]
    done = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return float(done["rendered"] / 2 / done["duration_s"])


def _set(library: Library, *, linger_s: float, keep_warm: bool = True) -> None:
    settings = Path(library.root, "thumbs.toml")
    text = settings.read_text().replace("linger_s = 30.0", f"linger_s = {linger_s}")
    settings.write_text(text if keep_warm else text.replace("keep_warm = true", "keep_warm = false"))


def _key(number: int) -> str:
    return f"camera-{number}/timelapse-{number}"


def _put(library: Library, watcher: Watcher, timelapse: int, number: int, drawn: list[bytes]) -> None:
    """Writes a frame as a camera does: under its own name, in a few pieces."""
    name = f"timelapse-{timelapse}_20300101_{number // 3600:02d}{number // 60 % 60:02d}{number % 60:02d}.jpg"
    data = drawn[number % len(drawn)] + os.urandom(8) + b"\xff\xd9"
    specs = for_timelapse(library.settings, _key(timelapse)).specs
    folder = Path(library.variants(_key(timelapse)))
    targets = [
        folder / spec.folder / os.fsdecode(variant_name(name.encode(), spec.tag, spec.extension)) for spec in specs
    ]
    with Path(library.frames(_key(timelapse)), name).open("wb") as file:
        file.writelines(data[start : start + 65_536] for start in range(0, len(data), 65_536))
    watcher.waiting.append(Frame(targets, time.monotonic()))


@contextlib.contextmanager
def _up(library: Library) -> Iterator[str]:
    process = subprocess.Popen(
        [*_COMMAND, "up", "--library", library.root, "--json"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        printed = json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")
        _wait_until_sensor_ticks(library)
        yield printed["url"]
    finally:
        process.terminate()
        process.wait(30)


def _wait_until_sensor_ticks(library: Library) -> None:
    memory = Path(library.state, "watch")
    deadline_s = time.monotonic() + _LONGEST_S
    while not memory.exists() and time.monotonic() < deadline_s:
        time.sleep(0.2)
    time.sleep(3.0)


@contextlib.contextmanager
def _watched() -> Iterator[Watcher]:
    watcher = Watcher()
    thread = threading.Thread(target=watcher.watch)
    thread.start()
    try:
        yield watcher
    finally:
        watcher.is_over = True
        thread.join()


def _wait_until_done(watcher: Watcher) -> None:
    deadline_s = time.monotonic() + _LONGEST_S
    while watcher.waiting and time.monotonic() < deadline_s:
        time.sleep(0.05)


def _wait_until(is_so: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + _LONGEST_S
    while not is_so() and time.monotonic() < deadline_s:
        time.sleep(0.5)


def _runs(url: str, statuses: str | None) -> list[object]:
    chosen = f"(filter: {{statuses: [{statuses}]}})" if statuses else ""
    found = _asked(url, f"{{ runsOrError{chosen} {{ ... on Runs {{ results {{ runId }} }} }} }}")
    return list(found["runsOrError"]["results"])


def _partitions(url: str) -> list[str]:
    query = '{ assetNodeOrError(assetKey: {path: ["thumbnails"]}) { ... on AssetNode { partitionKeys } } }'
    return list(_asked(url, query)["assetNodeOrError"].get("partitionKeys", []))


def _launch_backfill(url: str) -> str:
    """Launches a forced backfill of all timelapses as the page of the asset does, and returns its id."""
    mutation = """mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
        __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
    params = {
        "assetSelection": [{"path": ["thumbnails"]}],
        "partitionNames": _partitions(url),
        "runConfigData": {"ops": {"thumbnails": {"ops": {"cut_plan": {"config": {"force": True}}}}}},
    }
    launched = _asked(url, mutation, {"params": params})["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    return str(launched["backfillId"])


def _is_under_way(url: str, backfill_id: str) -> bool:
    query = "query ($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"
    return bool(_asked(url, query, {"id": backfill_id})["partitionBackfillOrError"]["status"] == "REQUESTED")


def _asked(url: str, query: str, variables: dict[str, Any] | None = None) -> Any:
    body = json.dumps({"query": query, "variables": variables or {}}).encode()
    request = urllib.request.Request(f"{url}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["data"]


def _line(name: str, frames: list[Frame], watcher: Watcher, to_reach: str) -> str:
    took = sorted(frame.took_s for frame in frames if frame.took_s is not None)
    p95 = took[min(len(took) - 1, int(len(took) * 0.95))]
    return (
        f"| {name} | {len(took)} | {statistics.median(took):.2f} s | {p95:.2f} s | {took[-1]:.2f} s "
        f"| {len(watcher.waiting)} | {to_reach} |"
    )


if __name__ == "__main__":
    main()
