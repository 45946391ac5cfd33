"""What worker processes cost beside the rendering itself, and what a second one brings, on frames of 1080p.

    .venv/bin/python benchmarks/rendering_workers.py [--frames N] [--rounds N]

Reads, hashes and renders N frames, first in this process without writing files, then through one worker and through
two: start of the processes, traffic between them and the writing of files included. The ways take turns; CPU time of
all processes, and wall time, which means something on a quiet machine only; medians of the rounds.
"""

import argparse
import hashlib
import io
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]
N_DRAWN = 60


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--frames", type=int, default=2000)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frames = make_frames(folder, chosen.frames)
        in_this_process(frames[:N_DRAWN])  # caches of files, plugins and libraries
        ways = (partial(in_this_process, frames), partial(by_workers, frames, folder, 1))
        ways = (*ways, partial(by_workers, frames, folder, 2))
        rounds = [[taken(way) for way in ways] for _ in range(chosen.rounds)]
    (alone, alone_s), (one, one_s), (two, two_s) = (
        tuple(statistics.median(values) for values in zip(*of_a_way, strict=True))
        for of_a_way in zip(*rounds, strict=True)
    )
    print(f"{chosen.frames} frames of 1080p, {os.cpu_count()} cores\n")
    print("| way | CPU s | wall s | against |")
    print("|---|---|---|---|")
    print(f"| read, hash and render alone, in this process | {alone:.2f} | {alone_s:.2f} | 1 |")
    print(f"| one worker | {one:.2f} | {one_s:.2f} | {one / alone - 1:+.1%} CPU over rendering alone |")
    print(f"| two workers | {two:.2f} | {two_s:.2f} | {one_s / two_s:.2f}x the rate of one worker |")
    print("\none worker, by round:", ", ".join(f"{costs[1][0] / costs[0][0] - 1:+.1%}" for costs in rounds))


def taken(run: Callable[[], object]) -> tuple[float, float]:
    """CPU time, children included, and wall time."""
    before, started = os.times(), time.perf_counter()
    run()
    after, wall_s = os.times(), time.perf_counter() - started
    return sum(after[:4]) - sum(before[:4]), wall_s


def make_frames(folder: Path, n_frames: int) -> list[Path]:
    """Files of their own, of a few dozen different pictures."""
    from PIL import Image, ImageEnhance

    noise = [Image.effect_noise((1920, 1080), 24) for _ in range(3)]
    base = Image.blend(Image.merge("RGB", noise), Image.radial_gradient("L").resize((1920, 1080)).convert("RGB"), 0.7)
    paths = [folder / f"frame-{number:05}.jpg" for number in range(n_frames)]
    for number, path in enumerate(paths):
        if number < N_DRAWN:
            ImageEnhance.Brightness(base).enhance(0.6 + number / N_DRAWN).save(path, quality=88)
        else:
            shutil.copyfile(paths[number % N_DRAWN], path)
    return paths


def in_this_process(frames: list[Path]) -> None:
    from thumb_pipeline.imaging.render import Origin, render
    from thumb_pipeline_tests.stages.workers.pools import SMALL, THUMBNAIL

    origin = Origin(digest="0" * 32, n_bytes=1, mtime_ns=1, name_digest="0" * 32)
    for path in frames:
        data = path.read_bytes()
        hashlib.sha256(data).hexdigest()
        render(io.BytesIO(data), [SMALL, THUMBNAIL], origin=origin)


def by_workers(frames: list[Path], folder: Path, n_workers: int) -> None:
    from thumb_pipeline_tests.stages.workers.pools import pool_in, task_for

    with tempfile.TemporaryDirectory(dir=folder) as variants:
        tasks = [task_for(path, Path(variants)) for path in frames]
        with pool_in(folder, n_workers=n_workers) as pool:
            for _ in pool.run(tasks):
                pass


if __name__ == "__main__":
    main()
