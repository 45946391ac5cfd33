"""Camera RAW: recognised although it is TIFF, rendered from its preview or its sensor data, upright once."""

import io

import pytest
from PIL import Image

from thumb_pipeline.domain.failures import Failure, FailureReason
from thumb_pipeline.imaging.render import render
from thumb_pipeline.imaging.results import Rendering
from thumb_pipeline.imaging.sources.raw import open_raw
from thumb_pipeline.imaging.sources.raw_signs import is_camera_raw
from thumb_pipeline_tests.imaging.foreign_files import dng
from thumb_pipeline_tests.imaging.pictures import ORIGIN, corners, is_scene, lying, rendered, saved, scene, spec

pytestmark = pytest.mark.quick

SENSOR = scene((320, 240))
PREVIEW = scene((160, 120))


@pytest.mark.parametrize("tags", [{50706: b"\1\4\0\0"}, {254: 1}])
def test_raw_is_not_rendered_from_the_page_in_front(tags: dict[int, object]) -> None:
    data = saved(scene(), "TIFF", tiffinfo=tags)
    found = render(io.BytesIO(data), [spec()], origin=ORIGIN)
    assert isinstance(found, Failure)
    assert found.reason is FailureReason.UNSUPPORTED


def test_a_plain_tiff_is_not_raw() -> None:
    assert not is_camera_raw(io.BytesIO(saved(scene(), "TIFF")))


def test_a_preview_that_is_large_enough_is_taken() -> None:
    (picture,) = rendered(dng(SENSOR, preview=PREVIEW.convert("L").convert("RGB")), spec(80, 60))
    assert all(max(corner) - min(corner) < 4 for corner in corners(picture))  # the preview is gray, the sensor is not


def test_a_preview_that_is_too_small_is_not_enlarged() -> None:
    (picture,) = rendered(dng(SENSOR, preview=scene((64, 48)).convert("L").convert("RGB")), spec(80, 60))
    assert shows_scene(picture)


def test_a_preview_of_another_shape_does_not_stand_for_the_picture() -> None:
    (picture,) = rendered(dng(SENSOR, preview=scene((200, 200)).convert("L").convert("RGB")), spec(80, 60))
    assert picture.size == (80, 60)
    assert shows_scene(picture)


def test_its_size_and_instant_are_those_of_the_sensor_whatever_was_decoded() -> None:
    for data in (dng(SENSOR), dng(SENSOR, preview=PREVIEW)):
        rendering = render(io.BytesIO(data), [spec()], origin=ORIGIN)
        assert isinstance(rendering, Rendering)
        assert (rendering.source.width_px, rendering.source.height_px) == (320, 240)
        assert rendering.source.exif_captured_at == "2021-05-06T07:08:09"


def test_half_the_size_is_decoded_where_that_is_enough() -> None:
    opened = open_raw(io.BytesIO(dng(SENSOR)))
    opened.draft(None, (80, 60))
    opened.load()
    assert opened.size == (160, 120)


def test_all_of_it_is_decoded_where_half_is_not_enough() -> None:
    (picture,) = rendered(dng(SENSOR), spec(300, 300))
    assert picture.size == (300, 225)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("preview", [None, "as the sensor", "upright"])
def test_it_is_turned_upright_once(orientation: int, preview: str | None) -> None:
    if preview == "upright" and orientation == 3:
        pytest.skip("upside down and upright have the same shape: nothing tells them apart")
    sensor = lying(scene((320, 240)), orientation)
    small = {None: None, "as the sensor": lying(PREVIEW, orientation), "upright": PREVIEW}[preview]
    (picture,) = rendered(dng(sensor, orientation=orientation, preview=small), spec(80, 60))
    assert picture.size == (80, 60)
    assert shows_scene(picture)


def test_a_preview_that_is_broken_leaves_the_sensor_data() -> None:
    data = dng(SENSOR, preview=PREVIEW)
    at = data.index(b"\xff\xd8\xff")
    (picture,) = rendered(data[: at + 40] + bytes(200) + data[at + 240 :], spec(80, 60))
    assert shows_scene(picture)


def test_half_a_file_is_answered() -> None:
    data = dng(SENSOR, preview=PREVIEW)
    for part in range(1, 20):
        answer = render(io.BytesIO(data[: len(data) * part // 20]), [spec(800, 600)], origin=ORIGIN)
        assert isinstance(answer, (Rendering, Failure))


def shows_scene(picture: Image.Image) -> bool:
    """Whether the corners are in order; a developed mosaic has brighter colours than the scene it was made from."""
    red, green, blue, white = corners(picture)
    strongest = (max(range(3), key=corner.__getitem__) for corner in (red, green, blue))
    return (tuple(strongest) == (0, 1, 2) and min(white) > 220) or is_scene(picture)
