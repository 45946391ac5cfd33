"""Step: opening without decoding."""

import pytest

from thumb_pipeline.domain.failures import FailureReason
from thumb_pipeline.imaging.refusals import Refused
from thumb_pipeline.imaging.steps.identify import identify_format
from thumb_pipeline.imaging.steps.read_header import read_header
from thumb_pipeline_tests.imaging.pictures import saved, scene, source_of

pytestmark = pytest.mark.quick


def test_the_header_gives_the_stored_size() -> None:
    source = source_of(saved(scene((160, 120))))
    identify_format(source)
    read_header(source)
    assert source.stored_size == (160, 120)


def test_a_jpeg_with_a_second_picture_is_mpo() -> None:
    source = source_of(saved(scene(), "MPO", save_all=True, append_images=[scene((16, 12))]))
    identify_format(source)
    read_header(source)
    assert (source.format, source.stored_size) == ("MPO", (160, 120))


def test_a_header_cut_off_is_truncated() -> None:
    source = source_of(saved(scene())[:30])
    identify_format(source)
    with pytest.raises(Refused) as refusal:
        read_header(source)
    assert refusal.value.failure.reason is FailureReason.TRUNCATED
