"""Measures what watching costs: an idle tick, one changed timelapse, a lost memory; prints them as a table.

    .venv/bin/python benchmarks/watching.py [SCRATCH_FOLDER]

Needs 3 million inodes at SCRATCH_FOLDER (default: a folder in the system's temporary one). Frames are hard links.
"""

import argparse
import contextlib
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import dagster as dg
from libraries import add_frame, linked_library

from thumb_pipeline.cli.dagster.instance import write_instance_files
from thumb_pipeline.defs import sensors
from thumb_pipeline.defs.jobs.new_captures import new_captures
from thumb_pipeline.defs.partitions import register_timelapses
from thumb_pipeline.defs.resources import LibraryResource
from thumb_pipeline.stages.captures.folders import look_at_folders
from thumb_pipeline.stages.captures.watch import Watch
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.library.open import open_library

_ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scratch", nargs="?", type=Path)
    parser.add_argument("--keep", action="store_true", help="measure on the libraries that an earlier call left there")
    chosen = parser.parse_args()
    with contextlib.ExitStack() as stack:
        scratch = chosen.scratch or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        print("| figure | measured | to reach |\n|---|---|---|")
        if not chosen.keep:
            _linked(scratch / "many", 1_000, 1_000_000)
            _linked(scratch / "huge", 1, 500_000)
        for line in (*many_timelapses(scratch / "many"), *one_huge_timelapse(scratch / "huge")):
            print(line, flush=True)


def many_timelapses(scratch: Path) -> Iterator[str]:
    library = open_library(str(scratch))
    write_instance_files(library)
    shutil.rmtree(Path(library.state, "watch"), ignore_errors=True)
    lost = _seconds(lambda: _looked(library), rounds=1)
    yield f"| a lost memory: every folder of 1,000 x 1,000 frames listed and compared once | {lost:.1f} s | - |"
    watch = Watch.begin(library, set)
    look = _seconds(lambda: watch.look(library))
    yield f"| one look at 1,000 timelapses, 1,000,000 frames, nothing new | {look * 1000:.0f} ms | - |"
    idle = statistics.median(_tick(library, says="nothing new") for _ in range(_ROUNDS))
    yield f"| a tick that looks once, nothing new (partitions, cursor and runs read too) | {idle:.2f} s | 1 s |"
    beside = statistics.median(_tick(library, says="a run attends") for _ in range(_ROUNDS))
    yield f"| a tick beside the run that is kept warm | {beside:.2f} s | 1 s |"


def one_huge_timelapse(scratch: Path) -> Iterator[str]:
    library = open_library(str(scratch))
    for path in Path(library.frames("camera-1/timelapse-1")).glob("timelapse-1_204*"):
        path.unlink()
    _looked(library)
    added = []
    for number in range(_ROUNDS):
        add_frame(library, "camera-1/timelapse-1", f"timelapse-1_20400101_00000{number}.jpg")
        added.append(_seconds(partial(_looked, library, n_expected=number + 1), rounds=1))
    yield f"| one changed timelapse of 500,000 frames, listed and compared | {statistics.median(added):.1f} s | 2 s |"


def _looked(library: Library, *, n_expected: int = 0) -> None:
    watch = Watch.begin(library, set)
    watch.look(library)
    time.sleep(0.06)  # the tick of the disk's clock
    watch.look(library)
    while watch.is_behind:
        watch.look(library)
    assert watch.n_waiting == n_expected, watch.n_waiting


def _tick(library: Library, *, says: str) -> float:
    """A whole tick but for the waiting: it ends after the first look, as its time is over before it begins."""
    os.environ["DAGSTER_HOME"] = library.dagster_home
    settings = Path(library.root, "thumbs.toml")
    settings.write_text(settings.read_text().replace("keep_warm = true", "keep_warm = false"))
    sensors._TICK_S = -1.0  # noqa: SLF001 -- no setting: nobody else wants a tick that does not wait
    with dg.DagsterInstance.get() as instance:
        register_timelapses(instance, sorted(look_at_folders(library).mtimes_ns))
        if says == "a run attends":
            instance.create_run_for_job(new_captures, status=dg.DagsterRunStatus.STARTED)
        resources = {"library": LibraryResource(root=library.root)}
        with dg.build_sensor_context(instance=instance, resources=resources) as context:
            started_s = time.monotonic()
            result = sensors.new_captures_sensor(context)
        took_s = time.monotonic() - started_s
        assert says in str(result), result
        return took_s


def _linked(scratch: Path, n_timelapses: int, n_sources: int) -> None:
    """Made in a process of its own, which gives its memory back."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(linked_library, scratch, n_timelapses, n_sources).result()


def _seconds(action: Callable[[], object], rounds: int = _ROUNDS) -> float:
    took = []
    for _ in range(rounds):
        started_s = time.monotonic()
        action()
        took.append(time.monotonic() - started_s)
    return statistics.median(took)


if __name__ == "__main__":
    main()
