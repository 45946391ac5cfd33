"""Frames that a mount shows where variants should be: whatever is done then, every source stays as it is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from thumb_pipeline.storage.frames_guard import FramesGuard, HoldsFrames
from thumb_pipeline_tests.stages.archives import KEY, Archive, states
from thumb_pipeline_tests.stages.mounts import mounted

pytestmark = pytest.mark.quick

OTHER = "camera-2/timelapse-2"
PROGRAM = "from thumb_pipeline.cli.app import main; main()"


@pytest.fixture
def two(archive: Archive) -> Archive:
    """A library with two timelapses, all of whose variants are made."""
    archive.frame("a.jpg", color=1)
    archive.frame("b.jpg", color=2)
    archive.frame("c.jpg", key=OTHER, color=3)
    assert archive.run().counts == {"rendered": 6}
    return archive


def command(archive: Archive, *arguments: str, mounts: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*mounted(*mounts), sys.executable, "-c", PROGRAM, *arguments, "--library", str(archive.root)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.daemon
@pytest.mark.parametrize(
    "arguments",
    [
        ("generate",),
        ("regenerate", "--all"),
        ("verify",),
        ("repair", "--apply"),
        ("sweep", "--apply", "--force", "--no-trash"),
        ("purge", "--apply", "--force", "--no-trash", "--yes"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_frames_of_another_timelapse_in_the_place_of_a_variant_folder_are_refused(
    two: Archive, arguments: tuple[str, ...]
) -> None:
    thumbnails = two.variant("c.jpg", "thumbnail", key=OTHER).parent
    before = states(two.frames())
    ended = command(two, *arguments, mounts=[f"mount --bind {two.frames()} {thumbnails}"])
    assert ended.returncode == 2, ended
    assert f"{thumbnails} shows the files of {two.frames()}" in ended.stderr
    assert "unmount it" in ended.stderr
    assert states(two.frames()) == before


@pytest.mark.daemon
def test_the_variants_of_a_whole_disk_that_shows_the_sources_are_refused(two: Archive, tmp_path: Path) -> None:
    """The tree of variants is a bind mount of one in which `thumbnails` is the frames folder."""
    disk = tmp_path / "disk"
    (disk / "cameras" / KEY).mkdir(parents=True)
    (disk / "cameras" / KEY / "thumbnails").symlink_to(two.frames())
    two.settings(top=f'[storage]\nvariants = "{tmp_path / "variants"}"')
    (tmp_path / "variants").mkdir()
    before = states(two.frames())
    ended = command(two, "generate", mounts=[f"mount --bind {disk} {tmp_path / 'variants'}"])
    assert ended.returncode == 2, ended
    assert states(two.frames()) == before


def admit(guard: FramesGuard, path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        guard.admit(folder, os.fsencode(path))
    finally:
        os.close(folder)


def test_a_folder_that_becomes_the_frames_folder_after_it_was_admitted_is_refused(
    two: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thumb_pipeline.storage.frames_guard._LEAST_S", 0.0)
    guard, thumbnails = FramesGuard(two.library.cameras), two.variant("a.jpg", "thumbnail").parent
    admit(guard, thumbnails)
    thumbnails.rename(thumbnails.with_name("aside"))
    two.frames(OTHER).rename(thumbnails)
    two.frames(OTHER).symlink_to(thumbnails)
    with pytest.raises(HoldsFrames):
        admit(guard, thumbnails)


def test_thousands_of_timelapses_are_not_looked_for_at_every_publication(
    two: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard, looked = FramesGuard(two.library.cameras), []
    monkeypatch.setattr(
        "thumb_pipeline.storage.frames_guard._find_frames_folders", lambda cameras: looked.append(cameras) or []
    )
    for _ in range(100):
        for variant in ("thumbnail", "small"):
            admit(guard, two.variant("a.jpg", variant).parent)
    assert looked == [two.library.cameras]


def test_an_inode_that_was_a_frames_folders_makes_no_frames_of_its_next_folder(two: Archive) -> None:
    guard, thumbnails = FramesGuard(two.library.cameras), two.variant("a.jpg", "thumbnail").parent
    admit(guard, thumbnails)
    other = two.variant("c.jpg", "small", key=OTHER).parent
    two.frames(OTHER).rename(other.with_name("new"))  # as if its inode had come back under another name
    admit(guard, other.with_name("new"))
