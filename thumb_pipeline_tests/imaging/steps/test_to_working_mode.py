"""Step: one of a few modes, nothing clipped."""

import array

import pytest
from PIL import Image

from thumb_pipeline.imaging.steps.to_working_mode import WORKING_MODES, to_working_mode
from thumb_pipeline_tests.imaging.pictures import is_scene, saved, scene, source_of

pytestmark = pytest.mark.quick


def converted(picture: Image.Image, format_name: str = "PNG") -> Image.Image:
    source = source_of(b"")
    source.format = format_name
    source.pixels = picture
    to_working_mode(source)
    return source.pixels


def words(*values: int) -> Image.Image:
    return Image.frombytes("I;16", (len(values), 1), array.array("H", values).tobytes())


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I", "F", "HSV", "YCbCr", "RGBX"])
def test_every_mode_becomes_a_working_mode(mode: str) -> None:
    picture = scene().convert("RGBA").convert(mode) if mode == "LA" else scene().convert(mode)
    assert converted(picture).mode in WORKING_MODES


def test_sixteen_bits_are_rescaled_not_clipped() -> None:
    assert list(converted(words(0, 257, 32_896, 65_535)).tobytes()) == [0, 1, 128, 255]


def test_big_endian_words_are_the_same_words() -> None:
    assert list(converted(Image.frombytes("I;16B", (2, 1), b"\x80\x80\xff\xff")).tobytes()) == [128, 255]


def test_twelve_bits_are_rescaled_from_twelve_bits() -> None:
    picture = words(0, 2048, 4095)
    picture.tag_v2 = {258: (12,)}  # type: ignore[attr-defined]
    assert list(converted(picture).tobytes()) == [0, 128, 255]


def test_the_transparent_sample_of_a_sixteen_bit_picture_is_transparent() -> None:
    picture = words(255, 65_535)
    picture.info["transparency"] = 255
    found = converted(picture)
    assert found.getchannel("A").tobytes() == b"\x00\xff"


@pytest.mark.parametrize(
    ("values", "expected"),
    [((0.0, 0.5, 1.0), [0, 128, 255]), ((0.0, 100.0, 200.0), [0, 100, 200]), ((-1.0, 0.0, 1.0), [0, 128, 255])],
)
def test_float_samples_are_rescaled_by_the_range_they_fit(values: tuple[float, ...], expected: list[int]) -> None:
    picture = Image.frombytes("F", (3, 1), array.array("f", values).tobytes())
    assert list(converted(picture, "TIFF").tobytes()) == expected


def test_a_flat_float_picture_has_no_range_to_divide_by() -> None:
    picture = Image.frombytes("F", (1, 1), array.array("f", [-5.0]).tobytes())
    assert converted(picture, "TIFF").mode == "L"


def test_a_palette_with_transparency_keeps_it() -> None:
    picture = scene().convert("RGBA")
    picture.putalpha(picture.getchannel("R").point(lambda red: 255 if red > 100 else 0))
    source = source_of(saved(picture, "GIF"))
    with Image.open(source.stream) as opened:
        opened.load()
        found = converted(opened, "GIF")
    assert found.mode == "RGBA"
    assert found.getchannel("A").getextrema() == (0, 255)


def test_planes_stay_planes_only_for_jpeg() -> None:
    assert converted(scene(mode="YCbCr"), "JPEG").mode == "YCbCr"
    found = converted(scene(mode="YCbCr"), "TIFF")
    assert found.mode == "RGB"
    assert is_scene(found)
