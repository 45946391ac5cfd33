"""Videos: one telling frame, upright, in right colours, and nothing but the bytes at hand."""

import io
from pathlib import Path

import pytest
from PIL import Image

from thumb_pipeline.domain.failures import Failure, FailureReason
from thumb_pipeline.domain.moments import FrameAt
from thumb_pipeline.imaging.render import render
from thumb_pipeline.imaging.results import Rendering
from thumb_pipeline_tests.imaging.foreign_files import sound, turned_video, video
from thumb_pipeline_tests.imaging.pictures import ORIGIN, corners, is_scene, opened, rendered, scene, spec

pytestmark = pytest.mark.quick

SIZE = (160, 120)
BLACK, GRAY = Image.new("RGB", SIZE), Image.new("RGB", SIZE, (120, 120, 120))


def numbered(n: int) -> list[Image.Image]:
    """Frames whose lower half gets brighter by 10 with each."""
    frames = [scene(SIZE) for _ in range(n)]
    for number, frame in enumerate(frames):
        frame.paste((number * 10,) * 3, (0, SIZE[1] // 2, *SIZE))
    return frames


def number_of(picture: Image.Image) -> int:
    return round(corners(picture)[3][0] / 10)


def frame_of(data: bytes, frame_at: FrameAt | None = None) -> Image.Image:
    rendering = render(io.BytesIO(data), [spec(80, 60)], origin=ORIGIN, frame_at=frame_at or FrameAt())
    assert isinstance(rendering, Rendering), rendering
    return opened(rendering.pictures[0])


@pytest.mark.parametrize("container", ["mp4", "matroska", "avi", "mov"])
def test_it_is_the_frame_at_a_tenth_of_the_duration(container: str) -> None:
    assert number_of(frame_of(video(numbered(20), container=container))) == 2


@pytest.mark.parametrize("container", ["mp4", "mpegts"])
def test_or_the_frame_at_the_moment_that_was_asked_for(container: str) -> None:
    data = video(numbered(20), codec="mpeg2video", container=container, rate=25)
    assert number_of(frame_of(data, FrameAt(seconds=0.48))) == 12


def test_a_moment_behind_the_end_gives_the_last_frame() -> None:
    assert number_of(frame_of(video(numbered(20)), FrameAt(seconds=99.0))) == 19


@pytest.mark.parametrize("empty", [BLACK, GRAY])
def test_a_black_or_flat_frame_gives_way_to_the_next_that_is_neither(empty: Image.Image) -> None:
    assert number_of(frame_of(video([empty] * 6 + numbered(14)))) == 0


def test_a_long_black_start_is_left_behind_in_steps() -> None:
    picture = frame_of(video([BLACK] * 400 + numbered(20)), FrameAt(seconds=0.0))
    assert number_of(picture) < 19
    assert corners(picture)[0] == pytest.approx(corners(scene(SIZE))[0], abs=8)
    assert number_of(frame_of(video([BLACK] * 300 + [scene(SIZE)] * 700), FrameAt(seconds=0.0))) > 10


def test_a_video_that_is_black_throughout_is_shown_as_that() -> None:
    assert max(high for _, high in frame_of(video([BLACK] * 12)).getextrema()) < 12  # type: ignore[misc]


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_the_display_matrix_is_applied(degrees: int) -> None:
    stored = scene(SIZE).rotate(degrees, expand=True)
    (picture,) = rendered(turned_video(video([stored] * 3), degrees), spec(80, 60))
    assert picture.size == (80, 60)
    assert is_scene(picture)


@pytest.mark.parametrize("height", [120, 720])
def test_colours_of_video_without_a_named_matrix_are_right_in_both_sizes(height: int) -> None:
    from av.video.reformatter import Colorspace

    size = (height * 4 // 3, height)
    matrix = Colorspace.ITU709 if height >= 720 else Colorspace.ITU601
    (picture,) = rendered(video([scene(size)] * 2, matrix=matrix), spec(80, 60))
    for found, wanted in zip(corners(picture), corners(scene(size)), strict=True):
        assert found == pytest.approx(wanted, abs=8)


def test_sound_alone_is_no_picture() -> None:
    answer = render(io.BytesIO(sound()), [spec()], origin=ORIGIN)
    assert isinstance(answer, Failure)
    assert answer.reason is FailureReason.NOT_AN_IMAGE


def test_a_container_that_names_another_file_does_not_get_it(tmp_path: Path) -> None:
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(video([scene(SIZE)] * 3))
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n".encode()
    answer = render(io.BytesIO(playlist), [spec()], origin=ORIGIN)
    assert isinstance(answer, Failure)
    assert answer.reason is FailureReason.NOT_AN_IMAGE


def test_half_a_video_is_answered() -> None:
    data = video(numbered(20), container="matroska")
    for part in range(1, 20):
        answer = render(io.BytesIO(data[: len(data) * part // 20]), [spec()], origin=ORIGIN)
        assert isinstance(answer, (Rendering, Failure))
