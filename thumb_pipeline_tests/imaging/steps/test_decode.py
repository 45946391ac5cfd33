"""Step: pixels, all of them or none."""

import pytest

from thumb_pipeline.domain.failures import FailureReason
from thumb_pipeline.imaging.refusals import Refused
from thumb_pipeline.imaging.steps.decode import decode
from thumb_pipeline.imaging.steps.identify import identify_format
from thumb_pipeline.imaging.steps.read_header import read_header
from thumb_pipeline.imaging.steps.tasks import Source
from thumb_pipeline_tests.imaging.pictures import is_scene, saved, scene, source_of, spec, textured

pytestmark = pytest.mark.quick


def decoded(data: bytes) -> Source:
    source = source_of(data, spec())
    for step in (identify_format, read_header, decode):
        step(source)
    return source


@pytest.mark.parametrize("format_name", ["GIF", "PNG", "WEBP", "AVIF", "TIFF"])
def test_an_animation_gives_its_first_frame(format_name: str) -> None:
    later = [scene().rotate(180), scene().rotate(90)]
    source = decoded(saved(scene(), format_name, save_all=True, append_images=later))
    assert is_scene(source.pixels)


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000"])
def test_half_a_file_is_not_a_picture(format_name: str) -> None:
    data = saved(textured((320, 240)), format_name)
    with pytest.raises(Refused) as refusal:
        decoded(data[: len(data) // 2])
    assert refusal.value.failure.reason is FailureReason.TRUNCATED
