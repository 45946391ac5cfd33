"""Step: what rendering needs from metadata."""

import pytest
from PIL import ImageCms

from thumb_pipeline.imaging.steps.identify import identify_format
from thumb_pipeline.imaging.steps.read_header import read_header
from thumb_pipeline.imaging.steps.read_metadata import read_metadata
from thumb_pipeline.imaging.steps.tasks import Source
from thumb_pipeline_tests.imaging.pictures import exif, saved, scene, source_of

pytestmark = pytest.mark.quick


def read(data: bytes) -> Source:
    source = source_of(data)
    identify_format(source)
    read_header(source)
    read_metadata(source)
    return source


def test_orientation_and_profile_are_taken() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    source = read(saved(scene(), "JPEG", exif=exif(6), icc_profile=profile))
    assert source.exif.orientation == 6
    assert source.profile == profile
    assert source.upright_size == (120, 160)


def test_a_picture_without_metadata_is_upright_srgb() -> None:
    source = read(saved(scene(), "PNG"))
    assert (source.exif.orientation, source.exif.captured_at, source.profile) == (1, None, None)
