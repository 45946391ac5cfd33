"""The moment of videos: a setting that touches their variants, and no picture's."""

import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from thumb_pipeline_tests.imaging.foreign_files import video
from thumb_pipeline_tests.imaging.pictures import scene
from thumb_pipeline_tests.stages.archives import Archive, touch

pytestmark = pytest.mark.quick

SIZE = (160, 120)
LATER = "frame_at_s = 1.6"


def brightening(n: int = 20) -> bytes:
    """Two seconds whose lower half gets brighter by 10 with each frame."""
    frames = [scene(SIZE) for _ in range(n)]
    for number, frame in enumerate(frames):
        frame.paste((number * 10,) * 3, (0, SIZE[1] // 2, *SIZE))
    return video(frames)


def brightness(path: Path) -> int:
    """Of the lower half."""
    with Image.open(path) as picture:
        shade = picture.convert("L").getpixel((picture.width // 2, picture.height * 3 // 4))
    assert isinstance(shade, int)
    return shade


@pytest.fixture
def mixed(archive: Archive) -> Archive:
    """A library with a video and a photo, and their four variants."""
    archive.frame("photo.jpg")
    archive.other("clip.mp4", brightening())
    assert archive.run().counts == {"rendered": 4}
    return archive


def test_a_video_shows_its_frame_at_a_tenth_of_the_duration(mixed: Archive) -> None:
    assert brightness(mixed.variant("clip.mp4")) == pytest.approx(20, abs=8)


def test_another_moment_renders_the_variants_of_videos_and_no_others(mixed: Archive) -> None:
    mixed.settings(rendering=LATER)
    found = mixed.run()
    assert found.by_reason == {"stale_spec": 2}
    assert set(found.plan.rows["source_name"]) == {"clip.mp4"}
    assert found.counts == {"rendered": 2, "unchanged": 2}
    assert brightness(mixed.variant("clip.mp4")) == pytest.approx(160, abs=8)
    assert mixed.run().counts == {"unchanged": 4}


def test_records_and_files_say_the_moment_of_videos_alone(mixed: Archive) -> None:
    moments = dict(mixed.manifest().select("source_name", "frame_at").iter_rows())
    assert moments == {"clip.mp4": "0.1 of the duration", "photo.jpg": None}
    assert b"of the duration" in mixed.variant("clip.mp4").read_bytes()
    assert b"frame_at" not in mixed.variant("photo.jpg").read_bytes()


@pytest.mark.parametrize(("rendering", "counts"), [("", {"adopted": 4}), (LATER, {"adopted": 2, "rendered": 2})])
def test_without_records_files_that_show_another_moment_are_not_adopted(
    mixed: Archive, rendering: str, counts: dict[str, int]
) -> None:
    shutil.rmtree(mixed.root / ".thumb_pipeline")
    mixed.settings(rendering=rendering)
    assert mixed.run().counts == counts
    assert mixed.run().counts == {"unchanged": 4}


def test_a_touched_video_keeps_its_moment(mixed: Archive) -> None:
    touch(mixed.path("clip.mp4"))
    assert mixed.run().counts == {"unchanged": 4}
    mixed.settings(rendering=LATER)
    assert mixed.run().by_reason == {"stale_spec": 2}


def test_a_touched_video_that_is_to_show_another_moment_is_rendered(mixed: Archive) -> None:
    touch(mixed.path("clip.mp4"))
    mixed.settings(rendering=LATER)
    assert mixed.run().counts == {"rendered": 2, "unchanged": 2}
    assert os.path.exists(mixed.variant("clip.mp4"))
