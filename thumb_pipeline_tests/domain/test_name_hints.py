import pytest

from thumb_pipeline.domain.name_hints import hints
from thumb_pipeline.domain.settings import Settings

pytestmark = pytest.mark.quick

SPECS = tuple(Settings().specs.values())


def told(path: str) -> list[tuple[str, tuple[str, ...], str | None]]:
    return [(hint.variant, hint.sources, hint.timelapse_id) for hint in hints(path, SPECS)]


@pytest.mark.parametrize(
    ("path", "variant"),
    [
        ("thumbnails/timelapse-2_thumb_20250422_143022.jpg", "thumbnail"),
        ("smalls/timelapse-2_thumb_20250422_143022.jpg", "thumbnail"),
        ("thumbnails/timelapse-2_mini_20250422_143022.jpg", "thumbnail"),
        ("smalls/TIMELAPSE-2_SMALL_20250422_143022.JPEG", "small"),
    ],
)
def test_the_tag_tells_the_variant_and_the_folder_where_no_tag_is_known(path: str, variant: str) -> None:
    [(found, sources, timelapse)] = told(path)
    assert (found, sources[0], timelapse) == (variant, "timelapse-2_20250422_143022", "2")


def test_any_name_keeps_what_is_before_its_tag() -> None:
    assert told("smalls/IMG_0012.JPG_small.jpg") == [("small", ("img_0012.jpg",), None)]


def test_an_unknown_tag_may_also_be_part_of_the_name() -> None:
    assert told("smalls/IMG_front.jpg") == [("small", ("img", "img_front"), None)]


@pytest.mark.parametrize("path", ["smalls/README.txt", "smalls/noending", "elsewhere/a.jpg", "smalls/.jpg.part"])
def test_what_is_no_picture_in_no_variant_folder_tells_nothing(path: str) -> None:
    assert told(path) == []


def test_the_time_is_looked_for_without_the_tag() -> None:
    [hint] = hints("thumbnails/timelapse-2_thumb_day003_143022.jpg", SPECS)
    assert hint.when == "timelapse-2_day003_143022"
