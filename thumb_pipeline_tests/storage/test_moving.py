import os
from pathlib import Path

import pytest

from thumb_pipeline.storage import moving
from thumb_pipeline.storage.frames_guard import FramesGuard, HoldsFrames
from thumb_pipeline.storage.moving import is_free, is_movable, is_unchanged
from thumb_pipeline.storage.publishing import CannotWrite

pytestmark = pytest.mark.quick


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "here" / "a"
    made.parent.mkdir()
    made.write_bytes(b"mine")
    return made


def text(path: Path) -> bytes:
    return os.fsencode(path)


def move(source: bytes, target: bytes, cameras: str = "/nowhere") -> bool:
    return moving.move(source, target, FramesGuard(cameras))


@pytest.mark.parametrize("which", ["here", "there"])
def test_nothing_is_moved_into_or_out_of_a_folder_of_sources(file: Path, tmp_path: Path, which: str) -> None:
    (tmp_path / "there").mkdir()
    frames = tmp_path / "cameras/camera-2/timelapse-1/frames"
    frames.parent.mkdir(parents=True)
    frames.symlink_to(tmp_path / which)
    with pytest.raises(HoldsFrames, match="camera-2/timelapse-1/frames"):
        move(text(file), text(tmp_path / "there" / "b"), str(tmp_path / "cameras"))
    assert file.read_bytes() == b"mine"
    assert os.listdir(tmp_path / "there") == []


def test_a_file_is_moved_whole_with_its_mtime_into_a_folder_that_is_made(file: Path, tmp_path: Path) -> None:
    before, target = file.stat(), tmp_path / "there" / "deep" / "b"
    assert move(text(file), text(target))
    assert target.read_bytes() == b"mine"
    assert not file.exists()
    assert (target.stat().st_ino, target.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_what_stands_there_is_never_replaced(file: Path, tmp_path: Path) -> None:
    for name, make in (("file", Path.touch), ("folder", Path.mkdir), ("link", lambda p: p.symlink_to("nowhere"))):
        target = tmp_path / name
        make(target)
        assert not is_free(text(target))
        assert not move(text(file), text(target))
        assert file.read_bytes() == b"mine"


def test_a_file_that_is_gone_is_not_moved(tmp_path: Path) -> None:
    assert not move(text(tmp_path / "gone"), text(tmp_path / "b"))


@pytest.mark.parametrize("linked", ["here", "there"])
def test_a_linked_folder_leads_nowhere(file: Path, tmp_path: Path, linked: str) -> None:
    (tmp_path / "there").mkdir()
    folder = tmp_path / linked
    folder.rename(tmp_path / "moved")
    folder.symlink_to(tmp_path / "moved")
    assert not move(text(file), text(tmp_path / "there" / "b"))
    assert list(tmp_path.rglob("b")) == []


def test_where_the_file_system_cannot_refuse_to_replace_a_second_name_comes_first(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving.sys, "platform", "other")
    taken = tmp_path / "taken"
    taken.touch()
    assert not move(text(file), text(taken))
    assert move(text(file), text(tmp_path / "b"))
    assert (tmp_path / "b").stat().st_nlink == 1
    assert not file.exists()


def test_another_disk_is_out_of_reach(file: Path, tmp_path: Path) -> None:
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("one file system only")
    target = elsewhere / "no-such-folder-of-ours" / "b"
    assert is_movable(text(file), text(tmp_path / "not" / "there" / "yet"))
    assert not is_movable(text(file), text(target))


def test_a_changed_file_and_a_link_to_one_are_told(file: Path, tmp_path: Path) -> None:
    status = file.stat()
    assert is_unchanged(text(file), 4, status.st_mtime_ns)
    assert not is_unchanged(text(file), 5, status.st_mtime_ns)
    assert not is_unchanged(text(file), 4, status.st_mtime_ns + 1)
    (tmp_path / "link").symlink_to(file)
    assert not is_unchanged(text(tmp_path / "link"), 4, status.st_mtime_ns)
    assert not is_unchanged(text(tmp_path / "gone"), 4, status.st_mtime_ns)


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_a_disk_that_takes_nothing_stops_everything(file: Path, tmp_path: Path) -> None:
    file.parent.chmod(0o500)
    with pytest.raises(CannotWrite, match="let this user write there"):
        move(text(file), text(tmp_path / "b"))
    file.parent.chmod(0o700)
