import io
from datetime import datetime

import pytest
from PIL import ExifTags, Image, ImageChops, ImageOps, ImageStat

from thumb_pipeline.imaging.demo.sky import draw_sky, sky_jpeg

pytestmark = pytest.mark.quick

SIZE = (320, 180)
PLACES = (0, 1, 2)


def brightness(picture: Image.Image) -> float:
    return float(ImageStat.Stat(picture.convert("L")).mean[0])


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_the_same_moment_and_place_give_the_same_bytes() -> None:
    assert sky_jpeg(0.4, size=SIZE, seed=1) == sky_jpeg(0.4, size=SIZE, seed=1)


@pytest.mark.parametrize("seed", PLACES)
def test_noon_is_bright_and_midnight_dark(seed: int) -> None:
    noon, midnight = (brightness(draw_sky(at, size=SIZE, seed=seed)) for at in (0.5, 0.0))
    assert noon > 100
    assert midnight < 40


def test_the_evening_sky_is_redder_than_the_noon_sky() -> None:
    def redness(day_fraction: float) -> float:
        above_the_hills = draw_sky(day_fraction, size=SIZE, seed=1).crop((0, 70, SIZE[0], 90))
        red, _, blue = ImageStat.Stat(above_the_hills).mean
        return red - blue

    assert redness(0.755) > 60
    assert redness(0.5) < 0


def test_places_differ() -> None:
    pictures = [draw_sky(0.5, size=SIZE, seed=seed) for seed in PLACES]
    assert len({picture.tobytes() for picture in pictures}) == len(PLACES)


def test_frames_ten_minutes_apart_differ_a_little() -> None:
    one, other = (draw_sky(at, size=SIZE, seed=0) for at in (0.5, 0.5 + 10 / 1440))
    difference = brightness(ImageChops.difference(one, other))
    assert 0.5 < difference < 12


@pytest.mark.parametrize("day_fraction", [0.0, 0.19, 0.2299, 0.8, 0.99999, 1.0, 3.5])
def test_every_moment_of_any_day_can_be_drawn(day_fraction: float) -> None:
    assert draw_sky(day_fraction, size=(64, 36), seed=7).size == (64, 36)


@pytest.mark.parametrize("size", [(1, 1), (31, 17), (108, 192)])
def test_any_size_can_be_drawn(size: tuple[int, int]) -> None:
    picture = draw_sky(0.3, size=size, seed=2)
    assert (picture.size, picture.mode) == (size, "RGB")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_stored_picture_is_upright_once_its_orientation_is_applied(orientation: int) -> None:
    stored = opened(sky_jpeg(0.5, size=SIZE, seed=1, orientation=orientation, quality=95))
    assert stored.size == (SIZE if orientation < 5 else SIZE[::-1])
    upright = ImageOps.exif_transpose(stored)
    expected = opened(sky_jpeg(0.5, size=SIZE, seed=1, quality=95))
    assert brightness(ImageChops.difference(upright, expected.convert("RGB"))) < 3


def test_exif_tells_the_time_of_the_capture_when_asked_to() -> None:
    picture = opened(sky_jpeg(0.5, size=SIZE, seed=1, captured_at=datetime(2025, 4, 22, 14, 30, 22)))  # noqa: DTZ001 - a camera's clock
    assert picture.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] == "2025:04:22 14:30:22"


def test_a_plain_picture_has_no_exif() -> None:
    assert "exif" not in opened(sky_jpeg(0.5, size=SIZE, seed=1)).info


@pytest.mark.parametrize("day_fraction", [0.02, 0.25, 0.5, 0.78])
def test_a_full_size_file_weighs_what_a_cameras_does(day_fraction: float) -> None:
    assert 150_000 < len(sky_jpeg(day_fraction, size=(1920, 1080), seed=1)) < 400_000
