"""How fast one source becomes its two variants, and how alike they look: the limit, the peers and ours, side by side.

    .venv/bin/python benchmarks/rendering.py [--corpus FOLDER] [--repeat N]

One process, one thread, one core; CPU time, so that a busy machine counts less; the median of the repeats of each
picture, then the median and the mean over a class of photos. All ways are timed on the same bytes, one after the
other, before the next picture comes. Prints a table in Markdown. The peers are installed into `.venv/benchmarks` with
their hashes checked, and never into the environment of the pipeline.

- floor: libjpeg-turbo decodes at the smallest scale that covers the larger variant, and encodes both; no resampling
- floor 2^n: the same, at the smallest of the scales 1, 1/2, 1/4 and 1/8, the only ones it has vector instructions for
- vips x2: what `vipsthumbnail` does, once for each variant
- vips once: libvips decodes once, makes the second variant from the first
- Pillow: `draft`, Lanczos, the second variant from the first
- ours: `imaging.render`, provenance, checksum and ThumbHash included
"""

import argparse
import io
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PEERS = ROOT / ".venv" / "benchmarks"
PINS = ROOT / "deploy" / "requirements" / "benchmarks.txt"

os.environ["VIPS_CONCURRENCY"] = "1"
sys.path[:0] = [str(ROOT)]

Way = Callable[[], object]
CLASSES = ("under 1.5 MP", "1.5 to 6 MP", "6 to 13 MP", "over 13 MP", "progressive")
WAYS = ("floor", "floor 2^n", "vips x2", "vips once", "Pillow", "ours")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--corpus", type=Path, default=os.environ.get("THUMB_PIPELINE_CORPUS", "../shared/corpus"))
    options.add_argument("--repeat", type=int, default=3)
    chosen = options.parse_args()
    install_peers()
    photos = found_photos(chosen.corpus)
    if not photos:
        sys.exit(f"no JPEG photos below {chosen.corpus}: name the corpus with --corpus")
    times: dict[str, dict[str, list[float]]] = {name: {way: [] for way in WAYS} for name in CLASSES}
    likeness: dict[str, list[list[float]]] = {"ours": [], "vips x2": []}
    for photo in photos:
        data = photo.read_bytes()
        ways = ways_for(data)
        for way, run in ways.items():
            times[class_of(data)][way].append(median_ms(run, chosen.repeat))
        for way, found in likeness.items():
            found.append(likeness_of(data, ways[way]()))
    print_times(times)
    print_likeness(likeness)


def install_peers() -> None:
    """Once for each change of their pins."""
    stamp = PEERS / "installed"
    if not stamp.exists() or stamp.read_bytes() != PINS.read_bytes():
        # pyvips has no wheel: it is Python only, and finds the library in pyvips-binary.
        install = [str(ROOT / ".venv" / "bin" / "uv"), "pip", "install", "--quiet", "--target", str(PEERS)]
        checked = ["--require-hashes", "--only-binary", ":all:", "--no-binary", "pyvips", "-r", str(PINS)]
        subprocess.run([*install, *checked], check=True)
        stamp.write_bytes(PINS.read_bytes())
    sys.path.append(str(PEERS))


def found_photos(corpus: Path) -> list[Path]:
    """All photos, and every tenth frame of the timelapses, which look alike."""
    files = sorted(path for path in corpus.glob("photos/**/*") if path.suffix.lower() in (".jpg", ".jpeg"))
    return files + sorted(corpus.glob("timelapse/**/*.jpg"))[::10]


def class_of(data: bytes) -> str:
    from PIL import Image

    with Image.open(io.BytesIO(data)) as picture:
        if picture.info.get("progressive"):
            return "progressive"
        megapixels = picture.width * picture.height / 1e6
    return CLASSES[sum(megapixels >= limit for limit in (1.5, 6, 13))]


def ways_for(data: bytes) -> dict[str, Way]:
    """Each way as a call that returns its two variants; of `floor`, pictures of their size."""
    from PIL import Image

    from thumb_pipeline.domain.geometry import framing
    from thumb_pipeline.domain.variants import VariantSpec
    from thumb_pipeline.imaging.render import Origin, Rendering, render

    boxes = ((800, 600), (200, 150))
    specs = [VariantSpec(name="v", tag="v", folder="v", max_width_px=w, max_height_px=h) for w, h in boxes]
    origin = Origin(digest="0" * 32, n_bytes=len(data), mtime_ns=0, name_digest="0" * 32)

    def ours() -> list[bytes]:
        rendering = render(io.BytesIO(data), specs, origin=origin)
        assert isinstance(rendering, Rendering), rendering
        return [picture.data for picture in rendering.pictures]  # type: ignore[union-attr]

    with Image.open(io.BytesIO(data)) as picture:
        sizes = [framing(picture.size, spec).scaled for spec in specs]
        is_gray, stored = picture.mode == "L", picture.size
    return {
        "floor": floor(data, sizes, sizes[0], is_gray=is_gray),
        "floor 2^n": floor(data, sizes, halved(stored, sizes[0]), is_gray=is_gray),
        "vips x2": lambda: vips_twice(data, boxes),
        "vips once": lambda: vips_once(data, boxes),
        "Pillow": lambda: plain_pillow(data, sizes),
        "ours": ours,
    }


def halved(stored: tuple[int, int], need: tuple[int, int]) -> tuple[int, int]:
    """The stored size divided by the largest of 8, 4, 2 and 1 that leaves the need covered."""
    by = next(by for by in (8, 4, 2, 1) if all(side // by >= least for side, least in zip(stored, need, strict=True)))
    return -(-stored[0] // by), -(-stored[1] // by)


def floor(data: bytes, sizes: list[tuple[int, int]], decoded: tuple[int, int], *, is_gray: bool) -> Way:
    import numpy as np
    import simplejpeg
    from PIL import Image

    space = "GRAY" if is_gray else "RGB"
    subsampling = "Gray" if is_gray else "420"
    with Image.open(io.BytesIO(data)) as picture:
        shrunk = [np.asarray(picture.convert("L" if is_gray else "RGB").resize(size)) for size in sizes]
    shrunk = [array.reshape(*array.shape[:2], -1) for array in shrunk]

    def run() -> list[bytes]:
        simplejpeg.decode_jpeg(data, space, min_width=decoded[0], min_height=decoded[1], strict=False)
        return [
            simplejpeg.encode_jpeg(array, quality=85, colorspace=space, colorsubsampling=subsampling)
            for array in shrunk
        ]

    return run


def vips_twice(data: bytes, boxes: tuple[tuple[int, int], ...]) -> list[bytes]:
    import pyvips

    return [
        pyvips.Image.thumbnail_buffer(data, width, height=height, size="down").jpegsave_buffer(Q=85, keep="none")
        for width, height in boxes
    ]


def vips_once(data: bytes, boxes: tuple[tuple[int, int], ...]) -> list[bytes]:
    import pyvips

    first: Any = pyvips.Image.thumbnail_buffer(data, boxes[0][0], height=boxes[0][1], size="down").copy_memory()
    second = first.thumbnail_image(boxes[1][0], height=boxes[1][1], size="down")
    return [picture.jpegsave_buffer(Q=85, keep="none") for picture in (first, second)]


def plain_pillow(data: bytes, sizes: list[tuple[int, int]]) -> list[bytes]:
    from PIL import Image

    made = []
    with Image.open(io.BytesIO(data)) as opened:
        opened.draft(None, sizes[0])
        picture: Image.Image = opened
        for size in sizes:
            picture = picture.resize(size, Image.Resampling.LANCZOS)
            buffer = io.BytesIO()
            picture.save(buffer, "JPEG", quality=85)
            made.append(buffer.getvalue())
    return made


def median_ms(run: Way, n_times: int) -> float:
    run()  # caches of profiles, plugins and libraries
    taken = []
    for _ in range(n_times):
        started = time.process_time()
        run()
        taken.append(time.process_time() - started)
    return statistics.median(taken) * 1000


def likeness_of(data: bytes, variants: Any) -> list[float]:
    """Similarity of each variant to full decode and Lanczos."""
    from PIL import Image

    from thumb_pipeline.imaging.sources.exif import read_exif
    from thumb_pipeline.imaging.steps.orient import orient
    from thumb_pipeline.imaging.steps.tasks import ShrinkTask, whole
    from thumb_pipeline_tests.imaging.similarity import similarity

    found = []
    with Image.open(io.BytesIO(data)) as stored:
        orientation = read_exif(stored, io.BytesIO(data)).orientation
        task = ShrinkTask(size=(1, 1), region=whole((1, 1)), orientation=orientation, profile=None, reducing_gap=1.0)
        right = orient(stored.convert("L"), task)
    for variant in variants:
        with Image.open(io.BytesIO(variant)) as picture:
            reference = right.resize(picture.size, Image.Resampling.LANCZOS)
            found.append(similarity(picture.convert("L"), reference))
    return found


def print_times(times: dict[str, dict[str, list[float]]]) -> None:
    print("CPU ms a photo, median (mean)\n")
    print("| photos | n |", " | ".join(WAYS), "| ours / floor | ours / floor 2^n | vips x2 / ours | vips once / ours |")
    print("|---|---|" + "---|" * (len(WAYS) + 4))
    for name, by_way in times.items():
        n_photos = len(by_way["ours"])
        if not n_photos:
            continue
        means = {way: statistics.mean(found) for way, found in by_way.items()}
        cells = [f"{statistics.median(by_way[way]):.1f} ({means[way]:.1f})" for way in WAYS]
        ratios = (("ours", "floor"), ("ours", "floor 2^n"), ("vips x2", "ours"), ("vips once", "ours"))
        cells += [f"{ratio(by_way[one], by_way[other]):.2f} ({means[one] / means[other]:.2f})" for one, other in ratios]
        print(f"| {name} | {n_photos} |", " | ".join(cells), "|")


def ratio(one: list[float], other: list[float]) -> float:
    """Median of the ratios of each photo."""
    return statistics.median(a / b for a, b in zip(one, other, strict=True))


def print_likeness(likeness: dict[str, list[list[float]]]) -> None:
    print("\nMean structural similarity of luma to full decode and Lanczos, small / thumbnail\n")
    for way, found in likeness.items():
        small, thumbnail = (statistics.mean(values) for values in zip(*found, strict=True))
        print(f"- {way}: {small:.4f} / {thumbnail:.4f}")


if __name__ == "__main__":
    main()
