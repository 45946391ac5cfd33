import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import ExifTags, Image, ImageOps

from thumb_pipeline.domain import layout
from thumb_pipeline.stages.demo import demo_frames, make_demo_frames
from thumb_pipeline.stages.library.open import initialise, open_library

FRAMES = {frame.path: frame for frame in demo_frames()}
FIRST = next(iter(FRAMES))

# All frames are drawn, once for the module: that takes some ten seconds.
pytestmark = pytest.mark.daemon


@pytest.fixture(scope="module")
def progress() -> list[tuple[int, int]]:
    return []


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, progress: list[tuple[int, int]]) -> Path:
    """The demo library, drawn into a folder where one frame lay before."""
    root = tmp_path_factory.mktemp("demo library")
    (root / FIRST).parent.mkdir(parents=True)
    (root / FIRST).write_bytes(b"there before")
    initialise(str(root))
    draw(root, lambda done, total: progress.append((done, total)))
    return root


def draw(root: Path, on_progress: Callable[[int, int], None] | None = None) -> int:
    opened = open_library(str(root))
    with opened.lease() as lease:
        return make_demo_frames(opened, lease, on_progress=on_progress)


def is_whole(path: Path) -> bool:
    try:
        with Image.open(path) as picture:
            picture.load()
    except OSError:
        return False
    return True


def exif_time(path: Path) -> str | None:
    with Image.open(path) as picture:
        written: str | None = picture.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.DateTimeOriginal)
    return written


def test_there_are_two_cameras_and_three_timelapses() -> None:
    folders = Counter(os.path.dirname(path) for path in FRAMES)
    assert folders == {
        "cameras/camera-1/timelapse-1/frames": 144,
        "cameras/camera-1/timelapse-2/frames": 96,
        "cameras/camera-2/timelapse-3/frames": 72,
    }


@pytest.mark.parametrize(
    "name",
    [
        "camera-1/timelapse-1/frames/timelapse-1_20250422_143000.jpg",
        "camera-1/timelapse-2/frames/timelapse-2_day004_230000.jpg",
        "camera-2/timelapse-3/frames/IMG_0012.JPG",
    ],
)
def test_each_timelapse_has_names_of_its_own_kind(name: str) -> None:
    assert f"{layout.CAMERAS_FOLDER}/{name}" in FRAMES


def test_every_frame_is_written_and_nothing_else_is_among_them(library: Path) -> None:
    written = {str(file.relative_to(library)) for file in (library / "cameras").rglob("*") if file.is_file()}
    assert written == set(FRAMES)


def test_a_file_that_was_there_stays_as_it_was(library: Path) -> None:
    assert (library / FIRST).read_bytes() == b"there before"


def test_a_second_call_adds_nothing(library: Path) -> None:
    assert draw(library) == 0


def test_progress_counts_up_to_what_was_missing(library: Path, progress: list[tuple[int, int]]) -> None:
    n_missing = len(FRAMES) - 1
    assert progress == [(n_done, n_missing) for n_done in range(1, n_missing + 1)]


def test_exactly_one_file_is_broken(library: Path) -> None:
    broken = [path for path in FRAMES if path != FIRST and not is_whole(library / path)]
    assert [os.path.basename(path) for path in broken] == ["timelapse-2_day003_110000.jpg"]


def test_files_are_as_old_as_their_captures(library: Path) -> None:
    drawn = [path for path in FRAMES if path != FIRST]
    assert {path: os.stat(library / path).st_mtime for path in drawn} == {
        path: FRAMES[path].taken_at.timestamp() for path in drawn
    }


def test_portraits_are_stored_lying_and_upright_once_turned(library: Path) -> None:
    with Image.open(library / "cameras/camera-2/timelapse-3/frames/IMG_0012.JPG") as picture:
        assert picture.size == (1920, 1080)
        assert ImageOps.exif_transpose(picture).size == (1080, 1920)


def test_exif_tells_the_time_where_the_name_does_not(library: Path) -> None:
    times = {
        path.rsplit("/", maxsplit=1)[-1]: exif_time(library / f"{layout.CAMERAS_FOLDER}/{path}")
        for path in (
            "camera-1/timelapse-1/frames/timelapse-1_20250422_143000.jpg",
            "camera-1/timelapse-2/frames/timelapse-2_day002_130000.jpg",
            "camera-2/timelapse-3/frames/IMG_0013.JPG",
        )
    }
    assert times == {
        "timelapse-1_20250422_143000.jpg": None,
        "timelapse-2_day002_130000.jpg": "2025:04:23 13:00:00",
        "IMG_0013.JPG": "2025:04:22 04:15:00",
    }
