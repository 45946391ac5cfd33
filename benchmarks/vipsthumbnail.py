"""Whole processes side by side: `thumb-pipeline generate` against `vipsthumbnail` once a variant under `xargs -P2`.

    .venv/bin/python benchmarks/vipsthumbnail.py [--corpus FOLDER] [--photos N] [--rounds N] [--only WAY …]

Copies the corpus' photos and timelapse frames, one after the other and again from the start, to N files with names of
their own. Then each way makes a JPEG of quality 85 inside 800x600 and one inside 200x150 of all of them, from nothing,
the ways in turn. Prints the medians of the wall times in Markdown. Needs `vipsthumbnail` on the PATH (Debian:
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
import time
from collections.abc import Callable
from functools import partial
from itertools import cycle, islice
from pathlib import Path

ROOT = Path(__file__).parents[1]
COMMAND = str(Path(sys.executable).with_name("thumb-pipeline"))
FRAMES = "cameras/camera-1/timelapse-1/frames"
BOXES = ("800x600", "200x150")
WAYS = ("generate", "once", "batches")


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
        every: dict[str, Callable[[], float]] = {
            "generate": partial(generate, library),
            "once": partial(vipsthumbnail, photos, theirs, photos_a_process=1),
            "batches": partial(vipsthumbnail, photos, theirs, photos_a_process=50),
        }
        taken: dict[str, list[float]] = {way: [] for way in chosen.only}
        for _ in range(chosen.rounds):
            for way, seconds in taken.items():
                seconds.append(every[way]())
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


def generate(library: Path) -> float:
    """Seconds; the library is made anew before."""
    for folder in (".thumb_pipeline", f"{FRAMES}/../thumbnails", f"{FRAMES}/../smalls"):
        shutil.rmtree(library / folder, ignore_errors=True)
    subprocess.run([COMMAND, "init", str(library)], check=True, stdout=subprocess.DEVNULL)
    os.sync()
    started = time.monotonic()
    subprocess.run([COMMAND, "generate", "--library", str(library), "--json"], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - started


def vipsthumbnail(photos: list[Path], target: Path, *, photos_a_process: int) -> float:
    shutil.rmtree(target, ignore_errors=True)
    names = "\0".join(str(path) for path in photos).encode()
    for box in BOXES:
        (target / box).mkdir(parents=True)
    os.sync()
    started = time.monotonic()
    for box in BOXES:
        order = ["vipsthumbnail", "--size", f"{box}>", "-o", f"{target / box}/%s.jpg[Q=85,strip]"]
        subprocess.run(["xargs", "-0", "-P2", "-n", str(photos_a_process), *order], input=names, check=True)
    seconds = time.monotonic() - started
    for box in BOXES:
        assert len(list((target / box).iterdir())) == len(photos)
    return seconds


def print_times(taken: dict[str, list[float]]) -> None:
    medians = {way: statistics.median(seconds) for way, seconds in taken.items()}
    print("| way | wall s, median | all | against generate |\n|---|---|---|---|")
    for way, seconds in taken.items():
        ratio = f"{medians[way] / medians['generate']:.2f}x" if "generate" in medians else ""
        print(f"| {way} | {medians[way]:.1f} | {', '.join(f'{each:.1f}' for each in seconds)} | {ratio} |")


if __name__ == "__main__":
    main()
