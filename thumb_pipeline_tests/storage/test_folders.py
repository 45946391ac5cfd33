"""What a listing shows of a folder, whatever lies in it."""

import io
import os
import socket
from pathlib import Path

import pytest
from PIL import Image

from thumb_pipeline.storage.folders import (
    ArchiveUnavailable,
    has_end_marker,
    holds_files,
    list_files,
    list_subfolders,
    look_at,
)

pytestmark = pytest.mark.quick


def picture(format_name: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 12), (200, 10, 10)).save(buffer, format_name)
    return buffer.getvalue()


def test_sizes_and_times_are_those_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"123")
    os.utime(tmp_path / "a.jpg", ns=(0, 1_600_000_000_123_456_789))
    found = list_files(str(tmp_path))
    assert (found.names, list(found.n_bytes), list(found.mtimes_ns)) == (["a.jpg"], [3], [1_600_000_000_123_456_789])


def test_names_are_reversible_text(tmp_path: Path) -> None:
    written = [b"\xff\xfe.jpg", b"a\n.jpg", b"50%.jpg", "\u00e9.jpg".encode(), "e\u0301.jpg".encode(), b"x" * 255]
    for name in written:
        (tmp_path / os.fsdecode(name)).write_bytes(b"")
    assert sorted(list_files(str(tmp_path)).names) == sorted(
        ["%FF%FE.jpg", "a%0A.jpg", "50%25.jpg", "\u00e9.jpg", "e\u0301.jpg", "x" * 255]
    )


def test_links_folders_and_special_files_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "socket"))
        found = list_files(str(tmp_path))
    assert found.names == ["file"]
    assert sorted(found.others) == ["dangling", "fifo", "folder", "link", "socket"]


def test_our_own_unfinished_files_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / ".tp-abcd-1-1").write_bytes(b"")
    found = list_files(str(tmp_path))
    assert (found.names, found.temporaries) == ([], [b".tp-abcd-1-1"])


def test_a_folder_that_does_not_exist_is_empty(tmp_path: Path) -> None:
    assert list_files(str(tmp_path / "absent")).names == []
    assert not holds_files(str(tmp_path / "absent"))


def test_subfolders_of_what_does_not_exist_are_not_known(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list_subfolders(str(tmp_path / "absent"))


def test_a_link_to_nothing_counts_as_a_folder_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "camera-1").symlink_to(tmp_path / "not mounted")
    assert list_subfolders(str(tmp_path)) == ["camera-1"]
    with pytest.raises(ArchiveUnavailable):
        list_files(str(tmp_path / "camera-1" / "frames"))


def test_a_file_where_a_folder_should_be_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "frames").write_bytes(b"")
    for read in (list_files, list_subfolders, holds_files):
        with pytest.raises(ArchiveUnavailable, match=r"frames cannot be read .*check the disk"):
            read(str(tmp_path / "frames"))


def test_a_link_that_leads_nowhere_is_unavailable_not_empty(tmp_path: Path) -> None:
    (tmp_path / "frames").symlink_to(tmp_path / "not mounted")
    for read in (list_files, list_subfolders):
        with pytest.raises(ArchiveUnavailable):
            read(str(tmp_path / "frames"))


@pytest.mark.parametrize("n_folders", [1, 2, 3])
def test_a_link_that_leads_nowhere_anywhere_on_the_way_is_unavailable(tmp_path: Path, n_folders: int) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "not mounted")
    folder = str(tmp_path.joinpath("link", *"abc"[: n_folders - 1]))
    with pytest.raises(ArchiveUnavailable):
        list_files(folder)
    with pytest.raises(ArchiveUnavailable):
        look_at(folder, ["a.jpg"])


@pytest.mark.parametrize("target", ["loop", "file/inside"])
def test_a_link_of_which_nothing_can_be_told_counts_as_a_folder_and_hides_no_other(tmp_path: Path, target: str) -> None:
    (tmp_path / "camera-1").mkdir()
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "loop").symlink_to(target)
    assert list_subfolders(str(tmp_path)) == ["camera-1", "loop"]
    with pytest.raises(ArchiveUnavailable):
        list_subfolders(str(tmp_path / "loop"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_without_permission_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir(mode=0)
    with pytest.raises(ArchiveUnavailable, match="permissions"):
        list_files(str(tmp_path / "frames"))


def test_a_link_that_turns_in_circles_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "frames").symlink_to(tmp_path / "frames")
    with pytest.raises(ArchiveUnavailable):
        list_files(str(tmp_path / "frames"))


def test_a_link_to_a_folder_is_listed_and_counts_as_a_folder(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a.jpg").write_bytes(b"")
    (tmp_path / "frames").symlink_to(tmp_path / "disk")
    assert list_files(str(tmp_path / "frames")).names == ["a.jpg"]
    assert list_subfolders(str(tmp_path)) == ["disk", "frames"]


def test_a_time_beyond_64_bits_does_not_stop_the_listing(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    os.utime(tmp_path / "a.jpg", ns=(0, 2**63 + 10**9))
    if os.stat(tmp_path / "a.jpg").st_mtime_ns < 2**63 - 1:
        pytest.skip("this file system keeps no time after 2262")
    assert list(list_files(str(tmp_path)).mtimes_ns) == [2**63 - 1]
    assert list(look_at(str(tmp_path), ["a.jpg"]).mtimes_ns) == [2**63 - 1]


def test_looking_at_names_tells_the_same_as_listing(tmp_path: Path) -> None:
    for name in (b"a.jpg", b"\xff.jpg", b"50%.jpg"):
        (tmp_path / os.fsdecode(name)).write_bytes(name)
    (tmp_path / "link").symlink_to(tmp_path / "a.jpg")
    listed = list_files(str(tmp_path))
    seen = look_at(str(tmp_path), [*listed.names, "link", "absent"])
    assert (seen.names, seen.n_bytes, seen.mtimes_ns) == (listed.names, listed.n_bytes, listed.mtimes_ns)
    assert seen.others == ["link"]


@pytest.mark.parametrize("name", ["../outside.jpg", "sub/a.jpg", "", ".", "..", "a%00b", "/etc/passwd"])
def test_looking_never_leaves_the_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "frames"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.jpg").write_bytes(b"")
    (tmp_path / "outside.jpg").write_bytes(b"")
    found = look_at(str(folder), [name])
    assert (found.names, found.others) == ([], [])


def test_a_name_asked_for_twice_is_seen_once(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    assert look_at(str(tmp_path), ["a.jpg", "a.jpg"]).names == ["a.jpg"]


def test_a_folder_holds_files_only_if_one_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert not holds_files(str(tmp_path))
    (tmp_path / "a.jpg").write_bytes(b"")
    assert holds_files(str(tmp_path))


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP"])
def test_a_finished_picture_says_so_itself(tmp_path: Path, format_name: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(picture(format_name))
    assert has_end_marker(os.fsencode(path))


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP"])
def test_no_unfinished_picture_says_it_is_finished(tmp_path: Path, format_name: str) -> None:
    data, path = picture(format_name), tmp_path / "a"
    for length in range(0, len(data) - (2 if format_name == "WEBP" else 1), 7):
        path.write_bytes(data[:length])
        assert not has_end_marker(os.fsencode(path)), length


@pytest.mark.parametrize("data", [b"", b"GIF89a;", b"\xff\xd9", b"BM123456789012", b"RIFF\x04\0\0\0WAVE"])
def test_what_has_no_end_of_its_own_is_not_known_to_be_finished(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a").write_bytes(data)
    assert not has_end_marker(os.fsencode(tmp_path / "a"))


def test_a_file_that_is_gone_is_not_finished(tmp_path: Path) -> None:
    assert not has_end_marker(os.fsencode(tmp_path / "absent"))


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", "../x", "100%", "%GG", "%2F", "%2E%2E", "%00", "\0", "\ud800", "%ED%A0%80", "x" * 256],
)
def test_a_text_that_is_no_name_is_the_name_of_no_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.jpg").write_bytes(b"1")
    found = look_at(str(tmp_path), [name, "a.jpg"])
    assert (found.names, found.others) == (["a.jpg"], [])
