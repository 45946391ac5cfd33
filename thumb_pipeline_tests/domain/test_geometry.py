"""The arithmetic of sizes: exact cases by hand, laws by properties."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thumb_pipeline.domain.geometry import framing, variant_size
from thumb_pipeline.domain.variants import Fit, Gravity, VariantSpec

pytestmark = pytest.mark.quick

SIDE = st.integers(min_value=1, max_value=70_000)
LIMIT = st.integers(min_value=1, max_value=5_000)


def spec(
    width: int | None,
    height: int | None,
    fit: Fit = Fit.CONTAIN,
    gravity: Gravity = Gravity.CENTER,
    enlarge: bool = False,
) -> VariantSpec:
    return VariantSpec(
        name="v",
        tag="v",
        folder="vs",
        max_width_px=width,
        max_height_px=height,
        fit=fit,
        gravity=gravity,
        enlarge=enlarge,
    )


@pytest.mark.parametrize(
    ("source", "box", "expected"),
    [
        ((200, 2), (75, 75), (75, 1)),
        ((1, 70_000), (200, 150), (1, 150)),
        ((1920, 1080), (800, 600), (800, 450)),
        ((1920, 1080), (200, 150), (200, 113)),  # 112.5, halves up
        ((1000, 999), (500, 500), (500, 500)),  # 499.5, halves up
        ((1000, 333), (500, 500), (500, 167)),  # 166.5
        ((6, 1), (3, 3), (3, 1)),
        ((4032, 3024), (800, 600), (800, 600)),
        ((3024, 4032), (800, 600), (450, 600)),
        ((100, 80), (800, 600), (100, 80)),  # never enlarged
        ((1333, 1000), (800, None), (800, 600)),
        ((1333, 1000), (None, 100), (133, 100)),
        ((640, 480), (None, None), (640, 480)),
    ],
)
def test_contained_sizes_are_rounded_to_the_nearest_pixel(
    source: tuple[int, int], box: tuple[int | None, int | None], expected: tuple[int, int]
) -> None:
    assert variant_size(source, spec(*box)) == expected


@pytest.mark.parametrize(
    ("gravity", "crop"),
    [
        (Gravity.CENTER, (25, 0, 125, 100)),
        (Gravity.WEST, (0, 0, 100, 100)),
        (Gravity.EAST, (50, 0, 150, 100)),
        (Gravity.NORTH, (25, 0, 125, 100)),
    ],
)
def test_gravity_says_which_part_of_a_wide_picture_cover_keeps(
    gravity: Gravity, crop: tuple[int, int, int, int]
) -> None:
    found = framing((300, 200), spec(100, 100, Fit.COVER, gravity))
    assert (found.scaled, found.crop, found.canvas) == ((150, 100), crop, (100, 100))


def test_cover_with_one_open_side_keeps_the_whole_picture() -> None:
    found = framing((300, 200), spec(150, None, Fit.COVER))
    assert (found.scaled, found.crop, found.canvas) == ((150, 100), (0, 0, 150, 100), (150, 100))


def test_cover_of_a_picture_smaller_than_its_box_takes_what_is_there() -> None:
    assert variant_size((120, 300), spec(200, 150, Fit.COVER)) == (120, 150)


def test_pad_fills_the_box_even_around_a_small_picture() -> None:
    found = framing((20, 10), spec(100, 50, Fit.PAD))
    assert (found.scaled, found.canvas) == ((20, 10), (100, 50))


def test_pictures_are_enlarged_only_when_asked() -> None:
    assert variant_size((40, 30), spec(400, 400, enlarge=True)) == (400, 300)


@given(SIDE, SIDE, LIMIT, LIMIT)
def test_contain_never_leaves_its_box_and_touches_it_unless_the_source_is_smaller(
    width: int, height: int, max_width: int, max_height: int
) -> None:
    found = variant_size((width, height), spec(max_width, max_height))
    assert 1 <= found[0] <= max_width
    assert 1 <= found[1] <= max_height
    if width > max_width or height > max_height:
        assert found[0] == max_width or found[1] == max_height
    else:
        assert found == (width, height)


@given(SIDE, SIDE, LIMIT, LIMIT)
def test_contain_keeps_the_shape_to_half_a_pixel(width: int, height: int, max_width: int, max_height: int) -> None:
    found = variant_size((width, height), spec(max_width, max_height))
    ratio = min(max_width / width, max_height / height, 1.0)
    assert abs(found[0] - max(width * ratio, 1.0)) <= 0.5 + 1e-6
    assert abs(found[1] - max(height * ratio, 1.0)) <= 0.5 + 1e-6


@given(SIDE, SIDE, LIMIT, LIMIT, st.sampled_from(Gravity), st.booleans())
def test_cover_fills_its_box_as_far_as_the_source_reaches(
    width: int, height: int, max_width: int, max_height: int, gravity: Gravity, enlarge: bool
) -> None:
    found = framing((width, height), spec(max_width, max_height, Fit.COVER, gravity, enlarge))
    left, top, right, bottom = found.crop
    assert 0 <= left < right <= found.scaled[0]
    assert 0 <= top < bottom <= found.scaled[1]
    assert (right - left, bottom - top) == found.canvas
    if enlarge or (width >= max_width and height >= max_height):
        assert found.canvas == (max_width, max_height)


@given(SIDE, SIDE, LIMIT, LIMIT, st.booleans())
def test_a_padded_picture_fits_its_canvas_which_is_the_box(
    width: int, height: int, max_width: int, max_height: int, enlarge: bool
) -> None:
    found = framing((width, height), spec(max_width, max_height, Fit.PAD, enlarge=enlarge))
    assert found.canvas == (max_width, max_height)
    assert found.scaled[0] <= max_width
    assert found.scaled[1] <= max_height


@given(SIDE, SIDE, LIMIT, LIMIT, st.sampled_from(Fit))
def test_turning_source_and_box_turns_the_variant(
    width: int, height: int, max_width: int, max_height: int, fit: Fit
) -> None:
    straight = variant_size((width, height), spec(max_width, max_height, fit))
    turned = variant_size((height, width), spec(max_height, max_width, fit))
    assert turned == (straight[1], straight[0])
