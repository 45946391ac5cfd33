"""Any part of a file, and any file with changed bytes, gives variants or a reason; never an exception."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thumb_pipeline.domain.failures import Failure
from thumb_pipeline.domain.variants import Fit, OutputFormat
from thumb_pipeline.imaging.render import render
from thumb_pipeline.imaging.results import Limits, Rendering
from thumb_pipeline_tests.imaging.pictures import ORIGIN, exif, saved, spec, textured

pytestmark = pytest.mark.quick

PICTURE = textured((64, 48))
BLOCK = exif(6, main={0x0132: "2025:04:22 14:30:22"})
FILES = {
    "JPEG": saved(PICTURE, exif=BLOCK),
    "progressive JPEG": saved(PICTURE, progressive=True),
    "MPO": saved(PICTURE, "MPO", save_all=True, append_images=[PICTURE]),
    "PNG": saved(PICTURE, "PNG", exif=BLOCK),
    "APNG": saved(PICTURE, "PNG", save_all=True, append_images=[PICTURE.rotate(90)]),
    "palette PNG": saved(PICTURE.convert("P"), "PNG"),
    "WebP": saved(PICTURE, "WEBP", exif=BLOCK),
    "GIF": saved(PICTURE, "GIF"),
    "TIFF": saved(PICTURE, "TIFF"),
    "packed TIFF": saved(PICTURE, "TIFF", compression="tiff_lzw"),
    "BMP": saved(PICTURE, "BMP"),
    "AVIF": saved(PICTURE, "AVIF", exif=BLOCK),
    "JPEG 2000": saved(PICTURE, "JPEG2000"),
}
SPECS = (spec(32, 32), spec(16, 16, fit=Fit.COVER, format=OutputFormat.WEBP))


def is_answered(data: bytes) -> bool:
    # A changed byte may ask for a hundred million pixels; that is judged elsewhere and would only take time here.
    answer = render(io.BytesIO(data), SPECS, origin=ORIGIN, limits=Limits(max_pixels=1_000_000))
    return isinstance(answer, (Rendering, Failure))


@pytest.mark.parametrize("name", FILES)
def test_any_prefix_is_answered(name: str) -> None:
    data = FILES[name]
    lengths = {*range(min(len(data), 120)), *range(120, len(data), max(1, len(data) // 40)), len(data) - 1}
    assert all(is_answered(data[:length]) for length in lengths)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(FILES)), st.data())
def test_changed_bytes_are_answered(name: str, data: st.DataObject) -> None:
    changed = bytearray(FILES[name])
    near_start = st.integers(0, min(400, len(changed) - 1))
    for _ in range(data.draw(st.integers(1, 8))):
        changed[data.draw(near_start | st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    assert is_answered(bytes(changed))
