"""Measures deep verification against opening and loading every variant with plain Pillow in one process.

    .venv/bin/python benchmarks/deep.py [--sources N] [--rounds N]

Renders the variants of N sources (two each), then takes both ways in turn over the same files. The sources are the
JPEGs of the folder that THUMB_PIPELINE_CORPUS names, over and over under names of their own, or drawn skies of 1080p.
Medians: of wall time, which means something on a quiet machine only, and of the CPU time of all processes. Deep
verification starts its processes anew each time; the whole of it also lists, compares and reads the sources.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

from libraries import frames_library  # noqa: E402 -- of this folder, after the package is found
from PIL import Image  # noqa: E402

from thumb_pipeline.analytics.expected import expected_variants  # noqa: E402
from thumb_pipeline.domain.settings import for_timelapse  # noqa: E402
from thumb_pipeline.stages.examining.deep import files_of_variants, prove  # noqa: E402
from thumb_pipeline.stages.inventory.selection import Selection  # noqa: E402
from thumb_pipeline.stages.library.library import Library  # noqa: E402
from thumb_pipeline.stages.library.open import initialise, open_library  # noqa: E402
from thumb_pipeline.stages.planning.plan import make_plan  # noqa: E402
from thumb_pipeline.stages.rendering import accept_plan  # noqa: E402
from thumb_pipeline.stages.rendering.chunk import render_chunk  # noqa: E402
from thumb_pipeline.stages.verification.verify import verify  # noqa: E402
from thumb_pipeline.stages.workers.pool import open_pool  # noqa: E402

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
        plain, variants_only, deep, normal = [], [], [], []
        for _ in range(chosen.rounds):
            plain.append(_timed(partial(_plain, variants)))
            variants_only.append(_timed(partial(_variants_proved, library)))
            deep.append(_timed(partial(_verified, library, deep=True)))
            normal.append(_timed(partial(_verified, library, deep=False)))
        held = sum(path.stat().st_size for path in Path(library.frames(KEY)).iterdir())
    each = (_medians(taken, len(variants)) for taken in (plain, variants_only, deep, normal))
    (p, p_cpu), (v, v_cpu), (d, d_cpu), (n, n_cpu) = each
    print(f"{len(variants)} variants of {chosen.sources} sources ({held / 1e6:.0f} MB), {library.workers} workers\n")
    print("| way | ms a variant | CPU ms a variant | against |")
    print("|---|---|---|---|")
    print(f"| plain Pillow, open and load, one process | {p:.3f} | {p_cpu:.3f} | 1 |")
    print(f"| deep verification of the variants | {v:.3f} | {v_cpu:.3f} | {p / v:.2f}x as fast |")
    print(f"| `verify --deep` whole, its sources read too | {d:.3f} | {d_cpu:.3f} | {p / d:.2f}x as fast |")
    print(f"| verification at normal depth | {n:.3f} | {n_cpu:.3f} | |")


def _medians(taken: list[tuple[float, float]], n_variants: int) -> tuple[float, float]:
    wall, cpu = zip(*taken, strict=True)
    return statistics.median(wall) * 1000 / n_variants, statistics.median(cpu) * 1000 / n_variants


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the wall, and of CPU with those of children that ended."""
    before, started = os.times(), time.perf_counter()
    work()
    after, wall_s = os.times(), time.perf_counter() - started
    return wall_s, sum(after[:4]) - sum(before[:4])


def _rendered(root: Path, n_sources: int) -> Library:
    corpus = os.environ.get("THUMB_PIPELINE_CORPUS")
    library = _corpus_library(root, Path(corpus), n_sources) if corpus else frames_library(root, n_sources)
    with library.lease() as lease:
        plan = make_plan(library, Selection(), lease)
        accept_plan.record(library, plan)
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


def _plain(variants: list[Path]) -> None:
    for path in variants:
        with Image.open(path) as picture:
            picture.load()


def _variants_proved(library: Library) -> None:
    """What `verify --deep` does to variants, from their records to the verdict."""
    sources = library.inventory.read([KEY])
    expected = expected_variants(sources.lazy(), for_timelapse(library.settings, KEY).specs).collect()
    files = files_of_variants(library, expected, library.manifest.schema.empty())
    with library.lease() as lease, open_pool(library, lease) as pool:
        proven = prove(library, pool, files)
    assert (proven.n_files, proven.wrong.height, proven.moved.height) == (expected.height, 0, 0)


def _verified(library: Library, *, deep: bool) -> None:
    with library.lease() as lease:
        (part,) = verify(library, [KEY], lease, deep=deep)
    assert part.findings.is_empty(), part.findings


if __name__ == "__main__":
    main()
