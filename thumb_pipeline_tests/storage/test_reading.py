"""Files in whose place something else stands are not followed, not waited for, and not read without end."""

import os
import socket
from pathlib import Path

import pytest

from thumb_pipeline.storage.reading import NoRegularFile, open_regular, read_small

pytestmark = pytest.mark.quick


def test_a_small_file_is_read_and_a_larger_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "note"
    path.write_bytes(b"12345")
    assert read_small(str(path), 5) == b"12345"
    with pytest.raises(OSError, match="more than 4 bytes"):
        read_small(os.fsencode(path), 4)


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    Path("file").write_bytes(b"1")
    os.mkfifo("pipe")
    Path("folder").mkdir()
    Path("link").symlink_to("file")
    Path("loop").symlink_to("loop")
    Path("nowhere").symlink_to("not there")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
        before = set(os.listdir("/proc/self/fd"))
        for name in ("pipe", "folder", "link", "loop", "nowhere", "socket", "/dev/zero"):
            with pytest.raises(NoRegularFile):
                open_regular(name)
        assert set(os.listdir("/proc/self/fd")) == before
    with pytest.raises(FileNotFoundError):
        open_regular("absent")
