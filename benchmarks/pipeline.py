"""Measures the figures that the pipeline as a whole is held to; prints them as a table.

    .venv/bin/python benchmarks/pipeline.py [SCRATCH_FOLDER] [--only NAME …]

Needs 3 GB and 2 million inodes at SCRATCH_FOLDER (default: a folder in the system's temporary one), and ten minutes
on a quiet machine. Ratios come from runs in turn on the same files; times are medians.
"""

import argparse
import contextlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from libraries import add_frame, frames_library, linked_library

from thumb_pipeline.domain.names import name_digest
from thumb_pipeline.domain.settings import for_timelapse
from thumb_pipeline.domain.variants import VariantSpec
from thumb_pipeline.imaging.render import Origin, Picture, render
from thumb_pipeline.stages.library.library import Library

_COMMAND = [str(Path(sys.executable).with_name("thumb-pipeline"))]
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Run:
    """One whole process: seconds on the wall, seconds of CPU with its children, peak MB of its largest process."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    printed: dict[str, object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scratch", nargs="?", type=Path)
    parser.add_argument("--only", nargs="*", choices=list(FIGURES), default=list(FIGURES))
    chosen = parser.parse_args()
    with contextlib.ExitStack() as stack:
        scratch = chosen.scratch or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        print("| figure | measured | to reach |\n|---|---|---|")
        for name in chosen.only:
            for line in FIGURES[name](scratch / name):
                print(line, flush=True)


def two_thousand_frames(scratch: Path) -> list[str]:
    """A cold generate against the bare render loop, in turn, and one with nothing to do."""
    library = frames_library(scratch, 2_000)
    whole, bare, peak = [], [], 0.0
    for _ in range(_ROUNDS):
        bare.append(_bare_loop(library, scratch))
        _forget_everything(library)
        run = _run("generate", library)
        whole.append(run.wall_s)
        peak = max(peak, run.peak_mb)
    idle = [_run("generate", library) for _ in range(_ROUNDS)]
    start = [_process([sys.executable, "-c", "import dagster"]).wall_s for _ in range(_ROUNDS)]
    w, b, i, s = (statistics.median(values) for values in (whole, bare, [run.wall_s for run in idle], start))
    return [
        (
            f"| generate over 2,000 frames of 1080p, cold | {w:.1f} s; bare render loop {b:.1f} s; "
            f"{w - b:+.1f} s | 1.15 x {b:.1f} + 5 = {1.15 * b + 5:.1f} s |"
        ),
        f"| peak memory of it | {peak:.0f} MB | 500 MB |",
        f"| a second generate, nothing to do | {i:.2f} s; `import dagster` alone {s:.2f} s | 1 s beyond start-up |",
    ]


def thousand_timelapses(scratch: Path) -> list[str]:
    """Nothing to do over many folders."""
    library = _linked_library(scratch, 1_000, 100_000)
    runs = [_run("generate", library) for _ in range(_ROUNDS)]
    return [
        (
            f"| generate over 1,000 timelapses of 100 sources, nothing to do | "
            f"{statistics.median(run.wall_s for run in runs):.1f} s | 5 s |"
        )
    ]


def half_a_million_sources(scratch: Path) -> list[str]:
    """One new frame in one huge timelapse, found by listing and told by name."""
    library = _linked_library(scratch, 1, 500_000)
    key = "camera-1/timelapse-1"
    listed, told = [], []
    for number in range(_ROUNDS):
        add_frame(library, key, f"timelapse-1_20400101_00000{number}.jpg")
        listed.append(_run("generate", library))
        name = f"timelapse-1_20400102_00000{number}.jpg"
        add_frame(library, key, name)
        told.append(_run("generate", library, "--timelapse", key, "--source", name))
    written = _bytes_written(library, partial(_told_once, library, key))
    return [
        f"| one new frame among 500,000, found by listing | {_cpu(listed):.1f} s of CPU | 10 s |",
        f"| the same, told its name | {_cpu(told):.1f} s of CPU, {written / 1000:.0f} kB of tables written | 3 s |",
        f"| peak memory at 500,000 sources | {max(run.peak_mb for run in listed):.0f} MB | 1,000 MB |",
    ]


def verifying(scratch: Path) -> list[str]:
    """Verification at normal depth: a million sources in many timelapses, and half a million in one."""
    lines = []
    for n_timelapses, n_sources, to_reach in ((1_000, 1_000_000, "60 s, 1,500 MB"), (1, 500_000, "15 s")):
        library = _linked_library(scratch / str(n_sources), n_timelapses, n_sources)
        runs = [_run("verify", library) for _ in range(_ROUNDS)]
        wall_s, peak_mb = statistics.median(run.wall_s for run in runs), max(run.peak_mb for run in runs)
        lines.append(
            f"| verify {n_sources:,} sources in {n_timelapses:,} timelapses, 2 variants each | "
            f"{wall_s:.1f} s ({_cpu(runs):.1f} s of CPU), {peak_mb:,.0f} MB | {to_reach} |"
        )
    return lines


def _linked_library(scratch: Path, n_timelapses: int, n_sources: int) -> Library:
    """Made in a process of its own: a child's peak memory counts what its parent had when it was forked."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(linked_library, scratch, n_timelapses, n_sources).result()


def _told_once(library: Library, key: str) -> None:
    name = "timelapse-1_20400103_000000.jpg"
    add_frame(library, key, name)
    _run("generate", library, "--timelapse", key, "--source", name)


def _bytes_written(library: Library, action: Callable[[], None]) -> int:
    """Bytes of table files that are new after an action."""
    folder = Path(library.state, "datasets")
    before = set(folder.rglob("*.parquet"))
    action()
    return sum(path.stat().st_size for path in folder.rglob("*.parquet") if path not in before)


def _cpu(runs: list[Run]) -> float:
    return statistics.median(run.cpu_s for run in runs)


def _run(command: str, library: Library, *options: str) -> Run:
    return _process([*_COMMAND, command, "--library", library.root, "--json", *options])


def _process(command: list[str]) -> Run:
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)} ended with exit code {process.returncode}")
    wall_s = time.monotonic() - started
    return Run(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, json.loads(printed or "{}"))


def _bare_loop(library: Library, scratch: Path) -> float:
    """Reads, renders and writes every source with as many processes, and nothing else."""
    target = scratch / "bare"
    target.mkdir(exist_ok=True)
    sources = sorted(Path(library.frames("camera-1/timelapse-1")).iterdir())
    specs = for_timelapse(library.settings, "camera-1/timelapse-1").specs
    started = time.monotonic()
    with ProcessPoolExecutor(library.workers) as pool:
        for _ in pool.map(partial(_render_one, specs=specs, target=target), sources, chunksize=8):
            pass
    took = time.monotonic() - started
    shutil.rmtree(target)
    return took


def _render_one(source: Path, *, specs: tuple[VariantSpec, ...], target: Path) -> None:
    status = source.stat()
    name = name_digest(os.fsencode(source.name))
    origin = Origin(digest="0" * 32, n_bytes=status.st_size, mtime_ns=status.st_mtime_ns, name_digest=name)
    with source.open("rb") as stream:
        rendering = render(stream, specs, origin=origin)
    for spec, picture in zip(specs, rendering.pictures, strict=True):  # type: ignore[union-attr]  # all of them decode
        assert isinstance(picture, Picture)
        (target / f"{source.name}_{spec.tag}.jpg").write_bytes(picture.data)


def _forget_everything(library: Library) -> None:
    shutil.rmtree(library.state, ignore_errors=True)
    for spec in library.settings.specs.values():
        shutil.rmtree(os.path.join(library.variants("camera-1/timelapse-1"), spec.folder), ignore_errors=True)


FIGURES = {
    "frames": two_thousand_frames,
    "timelapses": thousand_timelapses,
    "sources": half_a_million_sources,
    "verifying": verifying,
}

if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
