"""Stops a `generate` again and again at random moments, by Ctrl-C and by `cancel`, and says how long that took.

    .venv/bin/python benchmarks/cancelling.py [SCRATCH_FOLDER] [--times 50] [--frames 1500] [--seed 1]

A stop is counted as bad when it took more than five seconds, the process had to be killed, a worker or an unfinished
file was left, or what was published was not recorded. Run it beside other work to see it under load: `stress-ng --cpu
8`, or several of itself.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import dagster as dg

from thumb_pipeline.imaging.demo.sky import sky_jpeg
from thumb_pipeline.stages.library.open import initialise

_COMMAND = [sys.executable, "-c", "from thumb_pipeline.cli import main; main()"]
_FRAME_SIZE = (1920, 1080)
_LONGEST_S = 60.0
_WITHIN_S = 5.0
_UNTIL_S = 8.0
"""Stops come at a random moment up to so many seconds after the run has begun."""


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scratch", nargs="?", default=None)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--frames", type=int, default=1_500)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    moments = random.Random(chosen.seed)
    with tempfile.TemporaryDirectory(dir=chosen.scratch) as scratch:
        root = _drawn(Path(scratch) / "library", chosen.frames)
        took: dict[str, list[float]] = {"Ctrl-C": [], "cancel": []}
        bad: list[str] = []
        for number in range(chosen.times):
            how = ("Ctrl-C", "cancel")[number % 2]
            seconds, wrong = _stopped(root, how, moments.uniform(0.0, _UNTIL_S))
            took[how].append(seconds)
            wrong += [f"took {seconds:.1f} s"] if seconds > _WITHIN_S else []
            bad += [f"{number} ({how}): {each}" for each in wrong]
            print(f"{number:3} {how:6} {seconds:5.2f} s {'; '.join(wrong)}", flush=True)
    for how, seconds_each in took.items():
        if seconds_each:
            middle, longest = statistics.median(seconds_each), max(seconds_each)
            print(f"{how}: {len(seconds_each)} stops, p50 {middle:.1f} s, longest {longest:.1f} s")
    print(f"{len(bad)} bad")


def _drawn(root: Path, n_frames: int) -> Path:
    initialise(str(root))
    frames = root / "cameras" / "camera-1" / "timelapse-1" / "frames"
    frames.mkdir(parents=True)
    pictures = [sky_jpeg(number / 12, size=_FRAME_SIZE, seed=number) for number in range(12)]
    for number in range(n_frames):
        (frames / f"timelapse-1_20250422_{number:06d}.jpg").write_bytes(pictures[number % 12])
    return root


def _stopped(root: Path, how: str, after_s: float) -> tuple[float, list[str]]:
    """Seconds from the request to the end of the run (of the process, for Ctrl-C); and what was wrong."""
    for folder in ("thumbnails", "smalls"):
        shutil.rmtree(root / "cameras" / "camera-1" / "timelapse-1" / folder, ignore_errors=True)
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([*_COMMAND, "generate", "--library", str(root)], start_new_session=True, **silent) as process:
        _wait_for_run(root)
        time.sleep(after_s)
        began_s = time.monotonic()
        if how == "Ctrl-C":
            process.send_signal(signal.SIGINT)
        else:
            subprocess.run([*_COMMAND, "cancel", "--all", "--library", str(root)], check=False, **silent)
        code = process.wait(_LONGEST_S)
        seconds = time.monotonic() - began_s
    return seconds if how == "Ctrl-C" else _by_events(root), _wrong(root, code)


def _by_events(root: Path) -> float:
    """Seconds from the last run's being asked to stop to its end, as Dagster's events tell them."""
    home = root / ".thumb_pipeline" / "dagster"
    with dg.DagsterInstance.from_config(str(home)) as instance:
        (run,) = instance.get_runs(limit=1)
        told = [
            instance.get_records_for_run(run.run_id, of_type=kind).records
            for kind in (dg.DagsterEventType.RUN_CANCELING, dg.DagsterEventType.RUN_CANCELED)
        ]
    (asked, ended) = (records[-1].timestamp if records else 0.0 for records in told)
    return ended - asked


def _wait_for_run(root: Path) -> None:
    """An order of work is there: the run is about to begin."""
    deadline_s = time.monotonic() + _LONGEST_S
    while not any((root / ".thumb_pipeline" / "plans").glob("*/order.json")) and time.monotonic() < deadline_s:
        time.sleep(0.02)


def _wrong(root: Path, code: int) -> list[str]:
    wrong = [] if code in (0, 3) else [f"exit code {code}"]
    wrong += [f"process {pid} left" for pid in _holders(root)]
    wrong += [f"{path.name} left" for path in [*root.rglob(".tp-*"), *root.rglob("*.lease")]]
    shutil.rmtree(root / ".thumb_pipeline" / "plans", ignore_errors=True)
    planned = _json("plan", root)
    if planned["adopted"]:
        wrong.append(f"{planned['adopted']} published and not recorded")
    return wrong


def _json(command: str, root: Path) -> Any:
    done = subprocess.run([*_COMMAND, command, "--library", str(root), "--json"], capture_output=True, check=False)
    return json.loads(done.stdout)


def _holders(root: Path) -> list[str]:
    leases = str(root / ".thumb_pipeline" / "leases")
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # it has just ended
            links = [os.readlink(f"/proc/{pid}/fd/{one}") for one in os.listdir(f"/proc/{pid}/fd")]
            found += [pid for link in links if link.startswith(leases)]
    return found


if __name__ == "__main__":
    main()
