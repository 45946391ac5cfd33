"""`verify --deep` as a user runs it."""

import os
from pathlib import Path
from typing import Any

import pytest

from thumb_pipeline_tests.cli.conftest import Archive, Run

pytestmark = pytest.mark.daemon

KEY = "camera-1/timelapse-1"


@pytest.fixture
def generated(archive: Archive, run: Run) -> Archive:
    archive.fill(2)
    assert run("generate", "--library", archive.root).code == 0
    return archive


@pytest.fixture
def verify(run: Run, generated: Archive) -> Any:
    return lambda *options: run("verify", "--library", generated.root, *options)


def flip_last_bytes(path: Path) -> None:
    before = path.stat()
    data = path.read_bytes()
    path.write_bytes(data[:-20] + bytes(byte ^ 0x55 for byte in data[-20:-2]) + data[-2:])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_sound_library_is_valid_and_has_the_same_keys_at_both_depths(verify: Any) -> None:
    deep, normal = verify("--deep", "--json"), verify("--json")
    assert (deep.code, normal.code) == (0, 0)
    assert deep.json == normal.json
    assert deep.json["valid"] == 4


def test_a_damaged_variant_is_named_with_what_is_wrong_and_what_to_do(generated: Archive, verify: Any) -> None:
    path = next((generated.frames().parent / "smalls").iterdir())
    flip_last_bytes(path)
    assert verify().code == 0
    ended = verify("--deep")
    assert ended.code == 1
    assert f"{KEY}/smalls/{path.name}: corrupt: its bytes do not match its checksum" in ended.err
    assert "generate --timelapse" in ended.err
    assert "1/2 smalls valid, 1 corrupt" in ended.out
    assert verify("--json").json["corrupt"] == 1


def test_bit_rot_ends_with_code_1_and_says_to_restore_the_frame(generated: Archive, verify: Any) -> None:
    flip_last_bytes(next(generated.frames().iterdir()))
    ended = verify("--deep")
    assert ended.code == 1
    assert "restore the frame from a backup" in ended.err
    document = verify("--deep", "--json").json
    assert document["valid"] == 4
    assert document["by_timelapse"][KEY]["bit_rot_sources"] == 1
