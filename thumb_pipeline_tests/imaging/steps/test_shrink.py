"""Step: resampling."""

import pytest
from PIL import Image

from thumb_pipeline.imaging.steps.shrink import shrink
from thumb_pipeline.imaging.steps.tasks import Region, ShrinkTask, whole
from thumb_pipeline_tests.imaging.pictures import difference, scene, textured

pytestmark = pytest.mark.quick


def task(size: tuple[int, int], region: Region, orientation: int = 1) -> ShrinkTask:
    return ShrinkTask(size=size, region=region, orientation=orientation, profile=None, reducing_gap=3.0)


def test_a_picture_of_the_right_size_is_not_touched() -> None:
    picture = scene((80, 60))
    assert shrink(picture, task((80, 60), whole((80, 60)))) is picture


def test_the_size_is_meant_upright_and_applied_lying() -> None:
    assert shrink(scene((160, 120)), task((60, 80), whole((160, 120)), orientation=6)).size == (80, 60)


def test_transparent_pixels_do_not_bleed_their_colour() -> None:
    picture = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    picture.paste((0, 0, 255, 255), (0, 0, 33, 64))
    found = shrink(picture, task((8, 8), whole((64, 64))))
    red, _, blue, alpha = found.getpixel((4, 4))  # type: ignore[misc]
    assert 0 < alpha < 255
    assert red < 16 < blue


@pytest.mark.parametrize("size", [(320, 240), (213, 160), (101, 77), (1, 1)])
def test_planes_shrink_to_what_colours_shrink_to(size: tuple[int, int]) -> None:
    picture = textured()
    by_planes = shrink(picture.convert("YCbCr"), task(size, whole(picture.size))).convert("RGB")
    at_once = shrink(picture, task(size, whole(picture.size)))
    # Colours at half the size lose what a JPEG takes from them anyway: 1.5 to 3 of 255 here.
    assert difference(by_planes, at_once) < 4


def test_planes_shrink_exactly_where_there_is_no_colour() -> None:
    picture = textured().convert("L").convert("RGB")
    by_planes = shrink(picture.convert("YCbCr"), task((101, 77), whole(picture.size))).convert("RGB")
    assert difference(by_planes, shrink(picture, task((101, 77), whole(picture.size)))) < 1
