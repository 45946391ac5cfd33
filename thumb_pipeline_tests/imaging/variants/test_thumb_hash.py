"""ThumbHash: byte for byte what its author's own library makes of the same pixels."""

import base64
import io

import pytest
from PIL import Image

from thumb_pipeline.domain.variants import OutputFormat
from thumb_pipeline.imaging.render import render
from thumb_pipeline.imaging.results import Rendering
from thumb_pipeline.imaging.variants.thumb_hash import thumb_hash
from thumb_pipeline_tests.imaging.pictures import ORIGIN, opened, saved, scene, spec

pytestmark = pytest.mark.quick

# Made with the `thumbhash` crate, through the wheel fast-thumbhash 1.0.0, from `slanted` of the size.
KNOWN = [
    ((32, 24), False, "3/cBDYRFIzEEMiRo03V3o3AjOwOR"),
    ((32, 24), True, "3weCBII6iXYqZouAF3/XSEIPd2eHd3h3Bw=="),
    ((18, 32), False, "3/cBFARWEwAiZoZmeGlpAHgIIA=="),
    ((32, 32), False, "3wcCDwJoVjUGIgNFhJdHfIakdSuQZgED"),
    ((32, 32), True, "3weCBQA6nIkORnfFifg3uXkwYHd1eId4dw=="),
    ((32, 3), False, "nucFGYgCR2F1dmaHBYcIlnk="),
    ((5, 7), False, "GGYFJQyAl1Z2JqaodoSpSoZwc2n6"),
]


def slanted(size: tuple[int, int], *, has_alpha: bool) -> Image.Image:
    """Colours that no symmetry makes vanish: a frequency of exactly zero may be rounded either way."""
    places = [(x, y) for y in range(size[1]) for x in range(size[0])]
    values = bytearray()
    for x, y in places:
        values += bytes((x * x * 3 + y * 7 + c * (y * y * 5 + x * 11) + c * 40) % 251 for c in range(3))
        if has_alpha:
            values.append(min(255, x * 9 + y * 3))
    return Image.frombytes("RGBA" if has_alpha else "RGB", size, bytes(values))


@pytest.mark.parametrize(("size", "has_alpha", "expected"), KNOWN)
def test_it_is_what_the_original_makes(size: tuple[int, int], has_alpha: bool, expected: str) -> None:
    assert thumb_hash(slanted(size, has_alpha=has_alpha)) == expected


@pytest.mark.parametrize("mode", ["RGB", "L", "YCbCr", "RGBA"])
@pytest.mark.parametrize("size", [(1, 1), (200, 150), (150, 200), (4000, 1)])
def test_any_mode_and_shape_has_one_of_at_most_33_bytes(mode: str, size: tuple[int, int]) -> None:
    assert 5 < len(base64.b64decode(thumb_hash(scene(size, mode)))) <= 33


def test_transparent_pixels_have_no_say_in_the_colour() -> None:
    picture = Image.new("RGBA", (32, 32), (0, 0, 255, 0))
    picture.paste((255, 0, 0, 255), (0, 0, 16, 32))
    head = int.from_bytes(base64.b64decode(thumb_hash(picture))[:3], "little")
    assert (head >> 12) & 63 == 63  # red against green


def test_a_source_has_the_hash_of_its_smallest_variant() -> None:
    specs = [spec(320, 240), spec(80, 60, format=OutputFormat.PNG)]
    rendering = render(io.BytesIO(saved(scene((640, 480)), "PNG")), specs, origin=ORIGIN)
    assert isinstance(rendering, Rendering)
    assert rendering.source.thumb_hash == thumb_hash(opened(rendering.pictures[1]))


def test_a_source_without_a_variant_has_none() -> None:
    rendering = render(io.BytesIO(saved(scene(), "PNG")), [], origin=ORIGIN)
    assert isinstance(rendering, Rendering)
    assert rendering.source.thumb_hash is None
