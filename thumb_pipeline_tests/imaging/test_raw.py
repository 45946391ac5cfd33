"""TIFF files that are camera RAW."""

import io

import pytest

from thumb_pipeline.domain.failures import Failure, FailureReason
from thumb_pipeline.imaging.raw import is_camera_raw
from thumb_pipeline.imaging.render import render
from thumb_pipeline_tests.imaging.pictures import ORIGIN, saved, scene, spec


@pytest.mark.parametrize("tags", [{50706: b"\1\4\0\0"}, {254: 1}])
def test_raw_is_not_rendered_from_the_preview_in_front(tags: dict[int, object]) -> None:
    data = saved(scene(), "TIFF", tiffinfo=tags)
    found = render(io.BytesIO(data), [spec()], origin=ORIGIN)
    assert isinstance(found, Failure)
    assert found.reason is FailureReason.UNSUPPORTED


def test_a_plain_tiff_is_not_raw() -> None:
    assert not is_camera_raw(io.BytesIO(saved(scene(), "TIFF")))
