"""Whole processes side by side: `thumb-pipeline generate` against `vipsthumbnail` once a variant under `xargs -P2`.

    .venv/bin/python benchmarks/vipsthumbnail.py [--corpus FOLDER] [--photos N] [--rounds N] [--only WAY …]

Copies the corpus' photos and timelapse frames, one after the other and again from the start, to N files with names of
their own. Then each way makes a JPEG of quality 85 inside 800x600 and one inside 200x150 of all of them, from nothing,
the ways in turn. Prints the medians of wall and CPU times in Markdown; CPU time is that of all processes, and what is
left to go by when the machine is not quiet. Needs `vipsthumbnail` on the PATH (Debian:
libvips-tools), 2 GB in the system's temporary folder and a quiet machine.

- generate: start of Python and Dagster, a new instance, listing, records, provenance, checksums, statistics and contact
  sheets included
- once: `xargs -P2 -n1`, a process for each variant of each photo
- batches: `xargs -P2 -n50`, so that the start of processes does not count; still one call of libvips a variant

Theirs strip metadata and, as a plain call does, leave colour profiles unconverted.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
COMMAND = str(Path(sys.executable).with_name("thumb-pipeline"))
FRAMES = "cameras/camera-1/timelapse-1/frames"
BOXES = ("800x600", "200x150")
WAYS = ("generate", "once", "batches")


class Taken(NamedTuple):
    """Seconds on the wall, and of CPU by all processes."""

    wall_s: float
    cpu_s: float


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--corpus", type=Path, default=os.environ.get("THUMB_PIPELINE_CORPUS", "../shared/corpus"))
    options.add_argument("--photos", type=int, default=1500)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--only", nargs="*", choices=WAYS, default=WAYS)
    chosen = options.parse_args()
    print(f"{subprocess.check_output(['vipsthumbnail', '--version'], text=True).strip()}, {chosen.photos} photos\n")
    with tempfile.TemporaryDirectory() as scratch:
        library, theirs = Path(scratch, "library"), Path(scratch, "theirs")
        photos = copied(originals(chosen.corpus), chosen.photos, library / FRAMES)
        every: dict[str, Callable[[], Taken]] = {
            "generate": partial(generate, library),
            "once": partial(vipsthumbnail, photos, theirs, photos_a_process=1),
            "batches": partial(vipsthumbnail, photos, theirs, photos_a_process=50),
        }
        taken: dict[str, list[Taken]] = {way: [] for way in chosen.only}
        for _ in range(chosen.rounds):
            for way, rounds in taken.items():
                rounds.append(every[way]())
    print_times(taken)


def originals(corpus: Path) -> list[Path]:
    """All JPEG photos and timelapse frames, mixed evenly."""
    photos = sorted(path for path in corpus.glob("photos/**/*") if path.suffix.lower() in (".jpg", ".jpeg"))
    frames = sorted(corpus.glob("timelapse/**/*.jpg"))
    if not photos or not frames:
        sys.exit(f"no JPEG photos and frames below {corpus}: name the corpus with --corpus")
    placed = [((n + 0.5) / len(files), path) for files in (photos, frames) for n, path in enumerate(files)]
    return [path for _, path in sorted(placed)]


def copied(originals: list[Path], n_photos: int, folder: Path) -> list[Path]:
    folder.mkdir(parents=True)
    copies = [folder / f"photo-{number:05}.jpg" for number in range(n_photos)]
    for original, copy in zip(islice(cycle(originals), n_photos), copies, strict=True):
        shutil.copyfile(original, copy)
    return copies


def generate(library: Path) -> Taken:
    """The library is made anew before."""
    for folder in (".thumb_pipeline", f"{FRAMES}/../thumbnails", f"{FRAMES}/../smalls"):
        shutil.rmtree(library / folder, ignore_errors=True)
    subprocess.run([COMMAND, "init", str(library)], check=True, stdout=subprocess.DEVNULL)
    order = [COMMAND, "generate", "--library", str(library), "--json"]
    return clocked(lambda: subprocess.run(order, check=True, stdout=subprocess.DEVNULL))


def vipsthumbnail(photos: list[Path], target: Path, *, photos_a_process: int) -> Taken:
    shutil.rmtree(target, ignore_errors=True)
    names = "\0".join(str(path) for path in photos).encode()
    for box in BOXES:
        (target / box).mkdir(parents=True)

    def run() -> None:
        for box in BOXES:
            order = ["vipsthumbnail", "--size", f"{box}>", "-o", f"{target / box}/%s.jpg[Q=85,strip]"]
            subprocess.run(["xargs", "-0", "-P2", "-n", str(photos_a_process), *order], input=names, check=True)

    taken = clocked(run)
    for box in BOXES:
        assert len(list((target / box).iterdir())) == len(photos)
    return taken


def clocked(run: Callable[[], object]) -> Taken:
    os.sync()
    before = os.times()
    run()
    after = os.times()
    return Taken(after.elapsed - before.elapsed, sum(after[2:4]) - sum(before[2:4]))


def print_times(taken: dict[str, list[Taken]]) -> None:
    print("| way | wall s | of generate's | CPU s | of generate's |\n|---|---|---|---|---|")
    for way, rounds in taken.items():
        cells = []
        for n in range(len(Taken._fields)):
            seconds = [each[n] for each in rounds]
            ratios = [each[n] / ours[n] for each, ours in zip(rounds, taken.get("generate", rounds), strict=True)]
            shown = ", ".join(f"{each:.1f}" for each in seconds)
            cells += [f"{statistics.median(seconds):.1f} ({shown})", f"{statistics.median(ratios):.2f}x"]
        print(f"| {way} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
