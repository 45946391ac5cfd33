"""Step: limits on pixels, before decoding."""

import pytest

from thumb_pipeline.domain.failures import FailureReason
from thumb_pipeline.imaging.refusals import Refused
from thumb_pipeline.imaging.results import Limits
from thumb_pipeline.imaging.steps.identify import identify_format
from thumb_pipeline.imaging.steps.read_header import read_header
from thumb_pipeline.imaging.steps.read_metadata import read_metadata
from thumb_pipeline.imaging.steps.refuse_too_large import refuse_too_large
from thumb_pipeline.imaging.steps.shrink_on_load import shrink_on_load
from thumb_pipeline_tests.imaging.pictures import saved, scene, source_of, spec

pytestmark = pytest.mark.quick

SIZE = (640, 480)
BELOW = Limits(max_pixels=100_000)


def check(data: bytes, limits: Limits) -> None:
    source = source_of(data, spec(), limits=limits)
    for step in (identify_format, read_header, read_metadata, shrink_on_load, refuse_too_large):
        step(source)


def test_a_picture_within_the_limit_passes() -> None:
    check(saved(scene(SIZE), "PNG"), Limits(max_pixels=640 * 480))


def test_a_picture_beyond_the_limit_is_refused() -> None:
    with pytest.raises(Refused) as refusal:
        check(saved(scene(SIZE), "PNG"), BELOW)
    assert refusal.value.failure.reason is FailureReason.TOO_LARGE
    assert "640x480" in refusal.value.failure.detail


def test_a_jpeg_counts_as_large_as_it_is_decoded() -> None:
    check(saved(scene(SIZE)), BELOW)


def test_a_gray_jpeg_counts_as_large_as_it_is_decoded() -> None:
    check(saved(scene(SIZE, "L")), BELOW)


def test_a_progressive_jpeg_counts_whole_because_libjpeg_keeps_it_whole() -> None:
    with pytest.raises(Refused):
        check(saved(scene(SIZE), progressive=True), BELOW)


def test_what_has_to_be_read_is_limited_too() -> None:
    with pytest.raises(Refused):
        check(saved(scene(SIZE)), Limits(max_pixels=100_000, max_source_pixels=300_000))
