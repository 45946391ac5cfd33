"""HEIC pictures: upright once, and only once."""

import pytest

from thumb_pipeline_tests.imaging.foreign_files import heic
from thumb_pipeline_tests.imaging.pictures import exif, is_scene, lying, rendered, scene, spec

pytestmark = pytest.mark.quick

# Counterclockwise quarter turns, and the EXIF orientation that says the same.
SAME_TURN = [(0, 1), (1, 8), (2, 3), (3, 6)]


@pytest.mark.parametrize(("quarter_turns", "orientation"), SAME_TURN)
def test_rotation_of_the_file_is_applied_and_that_of_its_exif_is_not(quarter_turns: int, orientation: int) -> None:
    stored = lying(scene(), orientation)
    data = heic(stored, quarter_turns=quarter_turns, exif=exif(orientation))
    (picture,) = rendered(data, spec(80, 60))
    assert picture.size == (80, 60)
    assert is_scene(picture)


def test_an_orientation_in_exif_alone_turns_nothing() -> None:
    (picture,) = rendered(heic(scene(), exif=exif(6)), spec(80, 60))
    assert picture.size == (80, 60)
    assert is_scene(picture)
