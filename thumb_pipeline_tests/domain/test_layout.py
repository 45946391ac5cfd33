"""Keys and folders are each other's inverse, and keys are safe where Dagster reads ranges out of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thumb_pipeline.domain import layout

pytestmark = pytest.mark.quick

ID = st.from_regex(r"[A-Za-z0-9._-]{1,20}", fullmatch=True).filter(lambda text: ".." not in text)


@given(ID, ID)
def test_a_key_leads_back_to_its_folders(camera: str, timelapse: str) -> None:
    key = layout.timelapse_key(f"camera-{camera}", f"timelapse-{timelapse}")
    assert layout.parse_key(key) == (f"camera-{camera}", f"timelapse-{timelapse}")
    assert layout.timelapse_folder(key) == f"cameras/camera-{camera}/timelapse-{timelapse}"


@pytest.mark.parametrize(
    "key",
    [
        "",
        "camera-1",
        "camera-1/",
        "camera-1/timelapse-",
        "camera-/timelapse-1",
        "camera-1/frames",
        "timelapse-1/camera-1",
        "camera-1/timelapse-1/frames",
        "camera-1/timelapse-..",
        "camera-1...camera-2/timelapse-1",
        "camera-1,2/timelapse-1",
        "camera-1/timelapse-é",
        "camera-1/timelapse-1\n",
        "../camera-1/timelapse-1",
        f"camera-1/timelapse-{'x' * 200}",
    ],
)
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=r"camera-|characters"):
        layout.parse_key(key)
