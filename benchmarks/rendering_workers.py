"""What worker processes cost beside the rendering itself, and what a second one brings, on frames of 1080p.

    .venv/bin/python benchmarks/rendering_workers.py [--frames N]

Renders N different frames of the demo's sky, first in this process without writing files, then through one
worker and through two: start of the processes, traffic between them and the writing of files included. CPU time of
all processes, and wall time, which means something on a quiet machine only; the best of three runs each.
"""

import argparse
import io
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--frames", type=int, default=400)
    n_frames = options.parse_args().frames
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frames = make_frames(folder, n_frames)
        alone = best(lambda: in_this_process(frames))
        one, two = (best(lambda n=n: by_workers(frames, folder, n)) for n in (1, 2))  # type: ignore[misc]
    print(f"{n_frames} frames of 1080p, {os.cpu_count()} cores\n")
    print("| way | CPU s | wall s | against |")
    print("|---|---|---|---|")
    print(f"| render alone, in this process | {alone[0]:.2f} | {alone[1]:.2f} | 1 |")
    print(f"| one worker | {one[0]:.2f} | {one[1]:.2f} | {one[0] / alone[0] - 1:+.1%} CPU over rendering alone |")
    print(f"| two workers | {two[0]:.2f} | {two[1]:.2f} | {one[1] / two[1]:.2f}x the rate of one worker |")


def best(run: Callable[[], object]) -> tuple[float, float]:
    """Least CPU time, children included, and least wall time of three runs."""
    taken = []
    for _ in range(3):
        before, started = os.times(), time.perf_counter()
        run()
        after, wall = os.times(), time.perf_counter() - started
        taken.append((sum(after[:4]) - sum(before[:4]), wall))
    return min(cpu for cpu, _ in taken), min(wall for _, wall in taken)


def make_frames(folder: Path, n_frames: int) -> list[Path]:
    from PIL import Image, ImageEnhance

    noise = [Image.effect_noise((1920, 1080), 24) for _ in range(3)]
    base = Image.blend(Image.merge("RGB", noise), Image.radial_gradient("L").resize((1920, 1080)).convert("RGB"), 0.7)
    paths = []
    for number in range(n_frames):
        path = folder / f"frame-{number:05}.jpg"
        ImageEnhance.Brightness(base).enhance(0.6 + number / n_frames).save(path, quality=88)
        paths.append(path)
    return paths


def in_this_process(frames: list[Path]) -> None:
    from thumb_pipeline.imaging.render import Origin, render
    from thumb_pipeline_tests.stages.workers import SMALL, THUMBNAIL

    origin = Origin(digest="0" * 32, n_bytes=1, mtime_ns=1, name_digest="0" * 32)
    for path in frames:
        render(io.BytesIO(path.read_bytes()), [SMALL, THUMBNAIL], origin=origin)


def by_workers(frames: list[Path], folder: Path, n_workers: int) -> None:
    from thumb_pipeline_tests.stages.workers import pool_in, task_for

    with tempfile.TemporaryDirectory(dir=folder) as variants:
        tasks = [task_for(path, Path(variants)) for path in frames]
        with pool_in(folder, n_workers=n_workers) as pool:
            for _ in pool.run(tasks):
                pass


if __name__ == "__main__":
    main()
