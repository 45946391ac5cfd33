"""Moving single files by descriptor: what is moved, what is not, and what is never replaced."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from thumb_pipeline.domain.removals import KeptReason
from thumb_pipeline.storage import removing
from thumb_pipeline.storage.frames_guard import FramesGuard

pytestmark = pytest.mark.quick


def guard(root: Path) -> FramesGuard:
    return FramesGuard(str(root / "cameras"))


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """Descriptors of a variant folder and of its place in the trash."""
    (tmp_path / "smalls").mkdir()
    with (
        removing.own_folder(str(tmp_path / "smalls"), guard(tmp_path)) as folder,
        removing.trash_folder(str(tmp_path / "trash" / "smalls")) as trash,
    ):
        yield folder, trash


def written(path: Path, data: bytes = b"abc") -> tuple[int, int]:
    path.write_bytes(data)
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def test_a_file_as_reported_is_moved(tmp_path: Path, folders: tuple[int, int]) -> None:
    seen = written(tmp_path / "smalls" / "a.jpg")
    assert removing.take(b"a.jpg", *seen, folder=folders[0], trash=folders[1]) is None
    assert (tmp_path / "trash/smalls/a.jpg").read_bytes() == b"abc"
    assert not (tmp_path / "smalls/a.jpg").exists()


def test_without_a_trash_it_is_unlinked(tmp_path: Path, folders: tuple[int, int]) -> None:
    seen = written(tmp_path / "smalls" / "a.jpg")
    assert removing.take(b"a.jpg", *seen, folder=folders[0], trash=None) is None
    assert os.listdir(tmp_path / "smalls") == []


@pytest.mark.parametrize("what", ["link", "folder", "pipe"])
def test_what_is_no_regular_file_stays(tmp_path: Path, folders: tuple[int, int], what: str) -> None:
    seen, path = written(tmp_path / "source.jpg"), tmp_path / "smalls" / "a.jpg"
    make = {"link": lambda: path.symlink_to("../source.jpg"), "folder": path.mkdir, "pipe": lambda: os.mkfifo(path)}
    make[what]()
    assert removing.take(b"a.jpg", *seen, folder=folders[0], trash=folders[1]) is KeptReason.NOT_A_FILE
    assert os.path.lexists(path)


def test_a_file_of_the_same_size_and_another_mtime_stays(tmp_path: Path, folders: tuple[int, int]) -> None:
    n_bytes, mtime = written(tmp_path / "smalls" / "a.jpg")
    assert removing.take(b"a.jpg", n_bytes, mtime + 1, folder=folders[0], trash=folders[1]) is KeptReason.CHANGED


def test_a_name_that_is_taken_in_the_trash_is_not_replaced(tmp_path: Path, folders: tuple[int, int]) -> None:
    seen = written(tmp_path / "smalls" / "a.jpg")
    written(tmp_path / "trash/smalls/a.jpg", b"earlier")
    assert removing.take(b"a.jpg", *seen, folder=folders[0], trash=folders[1]) is KeptReason.OCCUPIED
    assert (tmp_path / "trash/smalls/a.jpg").read_bytes() == b"earlier"


def test_a_file_that_is_gone_is_said_to_be(folders: tuple[int, int]) -> None:
    assert removing.take(b"a.jpg", 3, 3, folder=folders[0], trash=folders[1]) is KeptReason.GONE
    assert removing.put_back(b"a.jpg", trash=folders[1], folder=folders[0]) is KeptReason.GONE


def test_putting_back_never_replaces(tmp_path: Path, folders: tuple[int, int]) -> None:
    written(tmp_path / "trash/smalls/a.jpg", b"old")
    written(tmp_path / "smalls/a.jpg", b"new")
    assert removing.put_back(b"a.jpg", trash=folders[1], folder=folders[0]) is KeptReason.OCCUPIED
    assert (tmp_path / "smalls/a.jpg").read_bytes() == b"new"


def test_a_file_linked_into_place_before_a_kill_counts_as_back(tmp_path: Path, folders: tuple[int, int]) -> None:
    written(tmp_path / "trash/smalls/a.jpg", b"old")
    os.link(tmp_path / "trash/smalls/a.jpg", tmp_path / "smalls/a.jpg")
    assert removing.put_back(b"a.jpg", trash=folders[1], folder=folders[0]) is None
    assert not (tmp_path / "trash/smalls/a.jpg").exists()


def test_a_folder_renamed_away_after_it_was_opened_is_still_the_one_that_is_worked_on(tmp_path: Path) -> None:
    (tmp_path / "smalls").mkdir()
    (tmp_path / "frames").mkdir()
    seen = written(tmp_path / "smalls" / "a.jpg")
    os.link(tmp_path / "smalls" / "a.jpg", tmp_path / "frames" / "a.jpg")
    with removing.own_folder(str(tmp_path / "smalls"), guard(tmp_path)) as folder:
        os.rename(tmp_path / "smalls", tmp_path / "aside")
        (tmp_path / "smalls").symlink_to("frames")
        assert removing.take(b"a.jpg", *seen, folder=folder, trash=None) is None
    assert os.listdir(tmp_path / "aside") == []
    assert os.listdir(tmp_path / "frames") == ["a.jpg"]


@pytest.mark.parametrize(("there", "reason"), [("absent", KeptReason.GONE), ("file", KeptReason.OUTSIDE)])
def test_what_is_no_folder_is_not_opened(tmp_path: Path, there: str, reason: KeptReason) -> None:
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(removing.WrongFolder) as caught,
        removing.own_folder(str(tmp_path / there), guard(tmp_path)),
    ):
        pass
    assert caught.value.reason is reason


@pytest.mark.parametrize("through", ["itself", "above"])
def test_a_folder_behind_a_link_is_not_opened(tmp_path: Path, through: str) -> None:
    (tmp_path / "real" / "smalls").mkdir(parents=True)
    (tmp_path / "above").symlink_to("real")
    (tmp_path / "itself").symlink_to("real/smalls")
    path = {"itself": tmp_path / "itself", "above": tmp_path / "above" / "smalls"}[through]
    with pytest.raises(removing.WrongFolder) as caught, removing.own_folder(str(path), guard(tmp_path)):
        pass
    assert caught.value.reason is KeptReason.OUTSIDE


@pytest.mark.parametrize("whose", ["camera-1/timelapse-1", "camera-2/timelapse-9"])
def test_no_folder_of_sources_is_opened_under_any_name(tmp_path: Path, whose: str) -> None:
    (tmp_path / "smalls").mkdir()
    (tmp_path / "cameras" / whose).mkdir(parents=True)
    (tmp_path / "cameras" / whose / "frames").symlink_to(tmp_path / "smalls")
    with (
        pytest.raises(removing.WrongFolder) as caught,
        removing.own_folder(str(tmp_path / "smalls"), guard(tmp_path)),
    ):
        pass
    assert caught.value.reason is KeptReason.FRAMES


def test_of_a_folder_go_the_files_that_are_ours_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "ours").write_bytes(b"x")
    folder = tmp_path / "plans"
    (folder / "photos").mkdir(parents=True)
    (folder / "photos" / "ours").write_bytes(b"x")
    for name in ("ours", "theirs"):
        (folder / name).write_bytes(b"x")
    (folder / "ours too").symlink_to("../mine")
    removing.remove_files(str(folder), lambda name: name.startswith("ours"))
    assert sorted(os.listdir(folder)) == ["ours too", "photos", "theirs"]
    assert os.listdir(tmp_path / "mine") == os.listdir(folder / "photos") == ["ours"]


def test_a_folder_of_which_nothing_is_left_goes_too_and_may_be_gone_already(tmp_path: Path) -> None:
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "ours").write_bytes(b"x")
    removing.remove_files(str(tmp_path / "plans"), lambda _: True)
    removing.remove_files(str(tmp_path / "plans"), lambda _: True)
    assert os.listdir(tmp_path) == []


def test_files_behind_a_linked_folder_are_not_removed(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a").write_bytes(b"x")
    (tmp_path / "plans").symlink_to("mine")
    removing.remove_files(str(tmp_path / "plans"), lambda _: True)
    assert os.listdir(tmp_path / "mine") == ["a"]


def test_a_file_that_was_replaced_since_it_was_read_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"ours")
    seen = os.stat(tmp_path / "a")
    (tmp_path / "b").write_bytes(b"them")
    os.utime(tmp_path / "b", ns=(seen.st_mtime_ns, seen.st_mtime_ns))
    os.replace(tmp_path / "b", tmp_path / "a")
    with removing.open_folder(str(tmp_path)) as folder:
        assert not removing.remove_seen(b"a", seen, folder=folder)
        assert removing.remove_seen(b"a", os.stat(tmp_path / "a"), folder=folder)
    assert os.listdir(tmp_path) == []


def test_usage_counts_files_and_their_bytes(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    written(tmp_path / "a" / "b" / "c", b"12345")
    assert removing.usage(str(tmp_path)) == (1, 5)
    assert removing.usage(str(tmp_path / "absent")) == (0, 0)
