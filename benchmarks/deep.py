"""Measures deep verification against opening and loading every variant with plain Pillow in one process.

    .venv/bin/python benchmarks/deep.py [--sources N] [--rounds N]

Renders the variants of N sources (two each), then takes both ways in turn over the same files. The sources are the
JPEGs of the folder that THUMB_PIPELINE_CORPUS names, over and over under names of their own, or drawn skies of 1080p.
Times are medians of the wall, on a quiet machine; deep verification also reads the sources, and starts its processes.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

from libraries import frames_library  # noqa: E402 -- of this folder, after the package is found
from PIL import Image  # noqa: E402

from thumb_pipeline.stages import recording  # noqa: E402
from thumb_pipeline.stages.library import Library, initialise, open_library  # noqa: E402
from thumb_pipeline.stages.plan import make_plan  # noqa: E402
from thumb_pipeline.stages.render import render_chunk  # noqa: E402
from thumb_pipeline.stages.selection import Selection  # noqa: E402
from thumb_pipeline.stages.verify import verify  # noqa: E402

KEY = "camera-1/timelapse-1"
_LEAST_BYTES, _MOST_BYTES = 50_000, 8_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=int, default=1_500)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        library = _rendered(Path(name), chosen.sources)
        folders = [Path(library.variants(KEY), spec.folder) for spec in library.settings.specs.values()]
        variants = sorted(path for folder in folders for path in folder.iterdir())
        plain, deep, normal = [], [], []
        for _ in range(chosen.rounds):
            plain.append(_plain(variants))
            deep.append(_verified(library, deep=True))
            normal.append(_verified(library, deep=False))
        held = sum(path.stat().st_size for path in Path(library.frames(KEY)).iterdir())
    p, d, n = (statistics.median(times) * 1000 / len(variants) for times in (plain, deep, normal))
    print(f"{len(variants)} variants of {chosen.sources} sources ({held / 1e6:.0f} MB), {library.workers} workers\n")
    print("| way | ms a variant | against |")
    print("|---|---|---|")
    print(f"| plain Pillow, open and load, one process | {p:.3f} | 1 |")
    print(f"| deep verification, its sources read too | {d:.3f} | {p / d:.2f}x as fast |")
    print(f"| verification at normal depth | {n:.3f} | |")


def _rendered(root: Path, n_sources: int) -> Library:
    corpus = os.environ.get("THUMB_PIPELINE_CORPUS")
    library = _corpus_library(root, Path(corpus), n_sources) if corpus else frames_library(root, n_sources)
    with library.lease() as lease:
        plan = make_plan(library, Selection(), lease)
        recording.record(library, plan)
        result = render_chunk(library, plan.rows, lease, run_id="benchmark")
    if (n_failed := result.by_timelapse[KEY].failed) > 0:
        raise SystemExit(f"{n_failed} sources cannot be rendered: {result.failures[:3]}")
    return library


def _corpus_library(root: Path, corpus: Path, n_sources: int) -> Library:
    initialise(str(root))
    folder = root / "cameras" / KEY / "frames"
    folder.mkdir(parents=True)
    found = [path for path in sorted(corpus.rglob("photos/**/*.jpg")) if _is_frame(path)]
    for number in range(n_sources):
        path = found[number % len(found)]
        (folder / f"{number:06}-{abs(hash(path)) % 10_000}.jpg").write_bytes(path.read_bytes())
    return open_library(str(root))


def _is_frame(path: Path) -> bool:
    if not _LEAST_BYTES <= path.stat().st_size <= _MOST_BYTES:
        return False
    try:
        with Image.open(path) as picture:
            picture.load()
    except OSError:
        return False
    return True


def _plain(variants: list[Path]) -> float:
    started = time.perf_counter()
    for path in variants:
        with Image.open(path) as picture:
            picture.load()
    return time.perf_counter() - started


def _verified(library: Library, *, deep: bool) -> float:
    started = time.perf_counter()
    with library.lease() as lease:
        (part,) = verify(library, [KEY], lease, deep=deep)
    assert part.findings.is_empty(), part.findings
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
