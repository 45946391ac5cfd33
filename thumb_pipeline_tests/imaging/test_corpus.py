"""Real files of cameras, of other projects' tests and of attackers: each ends in exactly one state.

The folder is named by THUMB_PIPELINE_CORPUS (default: `../shared/corpus` beside the repository). Its MANIFEST.tsv says
of each file what to expect, and how that is known.
"""

import csv
import io
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageStat

from thumb_pipeline.domain.failures import Failure, FailureReason
from thumb_pipeline.domain.geometry import variant_size
from thumb_pipeline.domain.variants import Fit, OutputFormat
from thumb_pipeline.imaging.inspect import Inspection, inspect
from thumb_pipeline.imaging.render import render
from thumb_pipeline.imaging.results import Picture, Rendering
from thumb_pipeline_tests.imaging.pictures import ORIGIN, opened, spec

pytestmark = pytest.mark.corpus

CORPUS = Path(os.environ.get("THUMB_PIPELINE_CORPUS", Path(__file__).parents[2] / ".." / "shared" / "corpus")).resolve()
SPECS = (spec(800, 600), spec(200, 150), spec(100, 100, fit=Fit.COVER, format=OutputFormat.WEBP))

ALREADY_UPRIGHT = {"TIFF"}
"""Formats whose sizes in the manifest are upright: their decoder applies the orientation itself."""

PILLOW_FORMATS = {"JPEG", "MPO", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000"}

DISAGREEMENTS: dict[str, tuple[FailureReason, str]] = {}
"""Files that end otherwise than the manifest's columns suggest, and why that is right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the manifest."""

    file: str
    expected: str
    format: str
    size: tuple[int, int] | None
    orientation: int

    @property
    def must_render(self) -> bool:
        return self.expected.startswith("ok") and " or " not in self.expected and "-or-" not in self.expected

    @property
    def must_be_refused(self) -> bool:
        return self.expected.startswith(("must-be-rejected", "clean-error", "unsupported"))

    @property
    def upright_size(self) -> tuple[int, int] | None:
        if self.size is None or self.format in ALREADY_UPRIGHT or self.orientation not in (5, 6, 7, 8):
            return self.size
        return self.size[1], self.size[0]


def rows() -> list[Row]:
    manifest = CORPUS / "MANIFEST.tsv"
    if not manifest.exists():
        return []
    with manifest.open(encoding="utf-8", newline="") as lines:
        return [_row(line) for line in csv.DictReader(lines, delimiter="\t")]


def _row(line: dict[str, str]) -> Row:
    size = (int(line["width"]), int(line["height"])) if line["width"] and line["height"] else None
    orientation = int(line["exif_orientation"]) if line["exif_orientation"].isdigit() else 1
    return Row(file=line["file"], expected=line["expected"], format=line["format"], size=size, orientation=orientation)


ROWS = rows()
if not ROWS:
    pytest.skip(f"no corpus in {CORPUS}: name its folder in THUMB_PIPELINE_CORPUS", allow_module_level=True)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.file.encode("ascii", "replace").decode())
def test_each_file_ends_as_its_manifest_says(row: Row) -> None:
    with (CORPUS / row.file).open("rb") as stream:
        answer = render(stream, SPECS, origin=ORIGIN)
    if row.file in DISAGREEMENTS:
        assert isinstance(answer, Failure)
        assert answer.reason is DISAGREEMENTS[row.file][0]
    elif row.must_be_refused:
        assert isinstance(answer, Failure)
        assert answer.detail
    elif row.must_render:
        assert isinstance(answer, Rendering), answer
        assert row.upright_size in (None, (answer.source.width_px, answer.source.height_px))
        assert_complete(answer)
    elif isinstance(answer, Rendering):
        assert_complete(answer)


def assert_complete(answer: Rendering) -> None:
    upright = (answer.source.width_px, answer.source.height_px)
    for wanted, picture in zip(SPECS, answer.pictures, strict=True):
        assert isinstance(picture, Picture), picture
        assert (picture.width_px, picture.height_px) == variant_size(upright, wanted)
        found = inspect(picture.data)
        assert isinstance(found, Inspection)
        assert (found.width_px, found.height_px, found.is_whole) == (picture.width_px, picture.height_px, True)


# The first frame or the only picture of a file against what its own project says it decodes to; zero is exact. JPEG
# and lossy WebP decoders differ by rounding: less than 1 of 255 on average.
REFERENCES = [
    ("torture/image/png/transparency/tbbn3p08.png", "image/png/transparency/tbbn3p08.png.png"),
    ("torture/image/png/transparency/tp0n0g08.png", "image/png/transparency/tp0n0g08.png.png"),
    ("torture/image/png/transparency/tbbn0g04.png", "image/png/transparency/tbbn0g04.png.png"),
    ("torture/image/png/bugfixes/issue#403.png", "image/png/bugfixes/issue#403.png.png"),
    ("torture/image/png/interlaced/basi2c08.png", "image/png/interlaced/basi2c08.png.png"),
    ("torture/image/gif/anim/interlaced.gif", "image/gif/anim/interlaced.gif.png"),
    ("torture/image/webp/extended_images/lossy_alpha.webp", "image/webp/extended_images/lossy_alpha.webp.png"),
    ("torture/image/webp/lossy_images/simple-gray.webp", "image/webp/lossy_images/simple-gray.webp.png"),
    ("torture/Pillow/tiff_16bit_RGB.tiff", "Pillow/images/tiff_16bit_RGB_target.png"),
    ("torture/Pillow/tiff_16bit_RGBa.tiff", "Pillow/images/tiff_16bit_RGBa_target.png"),
    ("torture/Pillow/pil136.tiff", "Pillow/images/pil136.png"),
    ("torture/Pillow/old-style-jpeg-compression.tif", "Pillow/images/old-style-jpeg-compression.png"),
]


@pytest.mark.parametrize(("file", "reference"), REFERENCES)
def test_colours_are_those_of_the_reference(file: str, reference: str) -> None:
    with (CORPUS / file).open("rb") as stream:
        answer = render(stream, [spec(None, None, format=OutputFormat.PNG)], origin=ORIGIN)
    assert isinstance(answer, Rendering), answer
    with Image.open(CORPUS / "reference" / reference) as expected:
        assert mean_difference(opened(answer.pictures[0]), expected) < 1


# The same picture stored in different ways; the originals differ by what their formats lose.
SAME_PICTURES = [
    ("torture/Pillow/hopper.png", "torture/Pillow/hopper.Lab.tif", 6),
    ("torture/Pillow/hopper.png", "torture/Pillow/hopper.iccprofile.tif", 4),
    ("torture/Pillow/pil_sample_rgb.jpg", "torture/Pillow/pil_sample_cmyk.jpg", 12),
    ("torture/libvips/sample.jpg", "torture/libvips/sample-xyb.jpg", 6),
    *((f"torture/libvips/rotation/{n}.jpg", "torture/libvips/rotation/1.jpg", 12) for n in range(2, 9)),
    *(
        (f"torture/exif-orientation-examples/Landscape_{n}.jpg", "torture/exif-orientation-examples/Landscape_1.jpg", 6)
        for n in range(2, 9)
    ),
]


@pytest.mark.parametrize(("one", "other", "tolerance"), SAME_PICTURES)
def test_the_same_picture_looks_the_same_however_it_is_stored(one: str, other: str, tolerance: float) -> None:
    pictures = []
    for file in (one, other):
        with (CORPUS / file).open("rb") as stream:
            answer = render(stream, [spec(100, 100)], origin=ORIGIN)
        assert isinstance(answer, Rendering), answer
        pictures.append(opened(answer.pictures[0]))
    assert mean_difference(*pictures) < tolerance


def mean_difference(one: Image.Image, other: Image.Image) -> float:
    assert one.size == other.size
    flat = [
        Image.alpha_composite(Image.new("RGBA", p.size, "white"), p.convert("RGBA")).convert("RGB")
        for p in (one, other)
    ]
    return max(ImageStat.Stat(ImageChops.difference(*flat)).mean)


PREFIXED = [row for row in ROWS if row.must_render and row.format in PILLOW_FORMATS][::9]


@pytest.mark.parametrize("row", PREFIXED, ids=lambda row: row.file.encode("ascii", "replace").decode())
def test_any_prefix_of_a_real_file_is_answered(row: Row) -> None:
    data = (CORPUS / row.file).read_bytes()
    for part in range(1, 16):
        answer = render(io.BytesIO(data[: len(data) * part // 16]), SPECS[:2], origin=ORIGIN)
        assert isinstance(answer, (Rendering, Failure))
