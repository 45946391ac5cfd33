"""Published files are whole or not there, on disks that are full, crossed or in the way."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from thumb_pipeline.domain import names
from thumb_pipeline.storage.publishing import (
    CannotWrite,
    FolderClosed,
    NameTaken,
    is_temporary,
    publish,
    publish_new,
    settle_on_disk,
    temporary_name,
    writer_of,
)

pytestmark = pytest.mark.quick


def put(target: Path, data: bytes = b"new", *, durable: bool = False) -> os.stat_result:
    return publish(os.fsencode(target), data, writer="abcd1234", durable=durable)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"this user cannot mount a small disk: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("durable", [False, True])
def test_a_published_file_has_the_bytes_and_the_state_that_is_returned(tmp_path: Path, durable: bool) -> None:
    status = put(tmp_path / "a.jpg", b"new", durable=durable)
    assert (tmp_path / "a.jpg").read_bytes() == b"new"
    now = os.stat(tmp_path / "a.jpg")
    assert (status.st_size, status.st_mtime_ns, status.st_ino) == (now.st_size, now.st_mtime_ns, now.st_ino)


def test_publishing_replaces_what_stood_there(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"old")
    put(tmp_path / "a.jpg")
    assert (tmp_path / "a.jpg").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.jpg"]


def test_who_reads_the_old_file_goes_on_reading_it(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"old")
    with open(tmp_path / "a.jpg", "rb") as reader:
        put(tmp_path / "a.jpg")
        assert reader.read() == b"old"


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    put(tmp_path / "one" / "two" / "a.jpg")
    assert (tmp_path / "one" / "two" / "a.jpg").read_bytes() == b"new"


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o002, 0o077])
def test_permissions_are_what_the_umask_gives(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        put(tmp_path / "a.jpg")
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(tmp_path / "a.jpg").st_mode) == 0o666 & ~umask


def test_a_full_disk_keeps_the_old_file_and_no_part_of_the_new(small_disk: Path) -> None:
    put(small_disk / "a.jpg", b"old")
    with pytest.raises(CannotWrite, match=r"a\.jpg.*free space"):
        put(small_disk / "a.jpg", bytes(2_000_000))
    assert (small_disk / "a.jpg").read_bytes() == b"old"
    assert os.listdir(small_disk) == ["a.jpg"]


def test_a_limit_on_file_sizes_leaves_nothing_behind(tmp_path: Path) -> None:
    program = (
        "import resource, sys\n"
        "from thumb_pipeline.storage.publishing import CannotWrite, publish\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    publish(sys.argv[1].encode(), bytes(5000), writer='w')\n"
        "except CannotWrite as error:\n"
        "    print(error)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "a.jpg"], check=True, capture_output=True, text=True
    )
    assert "cannot write" in said.stdout
    assert os.listdir(tmp_path) == []


def test_a_folder_in_the_place_of_the_target_is_the_names_fault_alone(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").mkdir()
    with pytest.raises(NameTaken, match="move away what stands there"):
        put(tmp_path / "a.jpg")
    assert os.listdir(tmp_path) == ["a.jpg"]


def test_a_name_the_disk_does_not_take_is_the_names_fault_alone(tmp_path: Path) -> None:
    with pytest.raises(NameTaken):
        put(tmp_path / ("x" * 256))
    assert os.listdir(tmp_path) == []


def test_a_file_in_the_place_of_the_folder_is_the_disks_fault(tmp_path: Path) -> None:
    (tmp_path / "thumbnails").write_bytes(b"")
    with pytest.raises(CannotWrite, match=r"thumbnails/a\.jpg"):
        put(tmp_path / "thumbnails" / "a.jpg")


def test_the_longest_name_can_be_published(tmp_path: Path) -> None:
    name = b"\xff" * 255
    publish(os.path.join(os.fsencode(tmp_path), name), b"new", writer="w")
    assert os.listdir(os.fsencode(tmp_path)) == [name]


def test_a_message_about_a_name_that_is_not_utf8_can_be_printed(tmp_path: Path) -> None:
    target = os.path.join(os.fsencode(tmp_path), b"\xff.jpg")
    os.mkdir(target)
    with pytest.raises(NameTaken) as taken:
        publish(target, b"new", writer="w")
    assert "%FF.jpg" in str(taken.value).encode().decode()


def test_temporary_names_are_short_hidden_and_never_the_same() -> None:
    made = {temporary_name("abcd1234") for _ in range(100)}
    assert len(made) == 100
    for name in made:
        assert len(name) < 40
        assert names.is_left_out(name.encode())
        assert is_temporary(name.encode())
        assert writer_of(name.encode()) == "abcd1234"


@pytest.mark.parametrize(
    "name",
    [b".tp-", b".tp-\xff-1-2", b".tp--1", b".tp-x", b".tp-notes.txt", b".tp-0badf00d-1-1.jpg", b".tp-0badf00d-1-1\n"],
)
def test_a_name_that_is_never_given_to_an_unfinished_file_tells_no_writer(name: bytes) -> None:
    assert is_temporary(name)
    assert writer_of(name) is None


def test_a_new_file_is_published_once_and_never_replaces_another(tmp_path: Path) -> None:
    target = os.fsencode(tmp_path / "owner")
    assert publish_new(target, b"first", writer="owner")
    assert not publish_new(target, b"second", writer="owner")
    assert os.listdir(tmp_path) == ["owner"]
    assert (tmp_path / "owner").read_bytes() == b"first"


def test_nothing_is_published_into_a_folder_that_is_not_admitted(tmp_path: Path) -> None:
    def refuse(folder: int, path: bytes) -> None:
        assert os.path.samestat(os.fstat(folder), os.stat(tmp_path))
        raise FolderClosed(f"{os.fsdecode(path)} is somebody's")

    with pytest.raises(FolderClosed, match="is somebody's"):
        publish(os.fsencode(tmp_path / "a.jpg"), b"new", writer="abcd1234", admit=refuse)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_has_to_be_admitted_is_no_link(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    (tmp_path / "thumbnails").symlink_to("frames")
    with pytest.raises(FolderClosed):
        publish(os.fsencode(tmp_path / "thumbnails/a.jpg"), b"new", writer="abcd1234", admit=lambda *_: None)
    assert os.listdir(tmp_path / "frames") == []


@pytest.mark.parametrize("count", [0, 1, 65])
def test_files_that_are_gone_by_now_need_no_settling(tmp_path: Path, count: int) -> None:
    put(tmp_path / "a.jpg")
    settle_on_disk([os.fsencode(tmp_path / "a.jpg")] + [os.fsencode(tmp_path / f"gone-{n}") for n in range(count)])


def test_a_folder_that_is_gone_by_now_needs_no_settling(tmp_path: Path) -> None:
    settle_on_disk([os.fsencode(tmp_path / "gone" / "a.jpg")])
