"""Step: the decoder's own scales."""

import pytest

from thumb_pipeline.domain.variants import Fit, OutputFormat, VariantSpec
from thumb_pipeline.imaging.steps import shrink_on_load as module
from thumb_pipeline.imaging.steps.identify import identify_format
from thumb_pipeline.imaging.steps.read_header import read_header
from thumb_pipeline.imaging.steps.read_metadata import read_metadata
from thumb_pipeline.imaging.steps.shrink_on_load import shrink_on_load
from thumb_pipeline.imaging.steps.tasks import Source
from thumb_pipeline_tests.imaging.pictures import exif, lying, saved, scene, source_of, spec

pytestmark = pytest.mark.quick


def drafted(data: bytes, *specs: VariantSpec) -> Source:
    source = source_of(data, *specs)
    for step in (identify_format, read_header, read_metadata, shrink_on_load):
        step(source)
    return source


@pytest.mark.parametrize(
    ("box", "decoded"),
    [((800, 600), (960, 540)), ((200, 150), (240, 135)), ((961, 541), (1920, 1080)), ((960, 540), (960, 540))],
)
def test_a_jpeg_is_decoded_at_the_smallest_scale_that_covers(box: tuple[int, int], decoded: tuple[int, int]) -> None:
    assert drafted(saved(scene((1920, 1080))), spec(*box)).header.size == decoded


def test_the_largest_variant_decides() -> None:
    assert drafted(saved(scene((1920, 1080))), spec(200, 150), spec(800, 600)).header.size == (960, 540)


def test_cover_needs_more_than_its_box() -> None:
    source = drafted(saved(scene((1600, 400))), spec(200, 200, fit=Fit.COVER))
    assert source.header.size == (800, 200)


def test_a_lying_picture_is_measured_upright() -> None:
    data = saved(lying(scene((400, 1600)), 6), exif=exif(6))
    assert drafted(data, spec(100, 400)).header.size == (400, 100)


def test_the_region_keeps_the_pixels_that_rounding_up_added_out() -> None:
    source = drafted(saved(scene((1001, 801))), spec(400, 400))
    assert source.header.size == (501, 401)
    assert source.region == (0.0, 0.0, 500.5, 400.5)


def test_planes_stay_apart_only_from_jpeg_to_jpeg_and_without_vector_instructions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = saved(scene((640, 480)))
    monkeypatch.setattr(module, "simd_resampler", lambda: lambda: None)
    assert drafted(data, spec()).header.mode == "RGB"
    monkeypatch.setattr(module, "simd_resampler", lambda: None)
    assert drafted(data, spec()).header.mode == "YCbCr"
    assert drafted(data, spec(), spec(format=OutputFormat.WEBP)).header.mode == "RGB"


def test_a_jpeg_that_stores_red_green_and_blue_is_decoded_as_such() -> None:
    data = saved(scene((640, 480)), keep_rgb=True)
    assert drafted(data, spec()).header.mode == "RGB"


def test_other_formats_are_left_alone() -> None:
    source = drafted(saved(scene((640, 480)), "PNG"), spec())
    assert (source.header.size, source.region) == ((640, 480), (0.0, 0.0, 640.0, 480.0))
