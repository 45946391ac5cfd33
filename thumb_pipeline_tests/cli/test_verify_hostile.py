"""`verify` where disks fail, links mislead and others work at the same time: a sentence, and never a wrong `valid`."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from thumb_pipeline_tests.cli.conftest import COMMAND, clean_environment
from thumb_pipeline_tests.cli.faults import Ended, handed_over, run_main, unprivileged, with_each_fault
from thumb_pipeline_tests.stages.archives import KEY, Archive, states

pytestmark = pytest.mark.daemon

TOP = "cameras/camera-1/timelapse-1"


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """A library of two frames, of which one lacks a variant."""
    archive = Archive(tmp_path / "library")
    archive.settings(settle_s="0.0")
    archive.frame("a.jpg")
    archive.frame("b.jpg", color=9)
    archive.run()
    archive.variant("b.jpg").unlink()
    return archive


def verify(root: Path) -> Ended:
    return run_main("verify", "--json", "--library", str(root))


def counts(ended: Ended) -> dict[str, Any]:
    """What a verification counted, zeros left out."""
    found = json.loads(ended.out)
    return {name: n for name, n in found.items() if n and name != "by_timelapse"}


def is_plain(ended: Ended) -> bool:
    """Whether a command that stopped said why in a sentence that ends with something to do."""
    last = ended.err.splitlines()[-1] if ended.err else ""
    return "Traceback" not in ended.err and last.startswith("thumb-pipeline: ") and len(last) > 40


RIGHT = {"sources": 2, "valid": 3, "missing": 1}


@pytest.mark.daemon
@pytest.mark.parametrize("fault", ["EIO", "ENOSPC", "gone"])
def test_whatever_call_fails_it_stops_with_a_sentence_or_tells_the_truth(archive: Archive, fault: str) -> None:
    runs = with_each_fault(archive.root, fault, "verify", "--json")
    assert len(runs) > 15
    for ended, again, made_anew in runs:
        assert ended.code in (1, 2, 3), ended
        assert counts(ended) == RIGHT if ended.code == 1 else is_plain(ended), ended
        assert not made_anew, ended
        assert (again.code, counts(again)) == (1, RIGHT), ended


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", folder]
    mounted = subprocess.run(command, check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip(f"this user cannot mount a small disk: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_of_records_stops_it_and_freeing_some_is_enough(archive: Archive, small_disk: Path) -> None:
    archive.settings(top=f'[storage]\nstate = "{small_disk}/state"')
    assert counts(verify(archive.root)) == {"sources": 2, "unrecorded": 3, "missing": 1}
    fill = small_disk / "fill"
    with fill.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
    ended = verify(archive.root)
    assert (ended.code, is_plain(ended), "free space" in ended.err) == (2, True, True)
    fill.unlink()
    assert verify(archive.root).code == 1


@pytest.mark.parametrize("place", ["cameras", "cameras/camera-1", TOP, f"{TOP}/frames", f"{TOP}/smalls"])
def test_a_folder_that_turns_in_circles_or_leads_nowhere_is_refused(archive: Archive, place: str) -> None:
    path = archive.root / place
    for target in (path, archive.root / "not mounted"):
        path.rename(archive.root / "kept")
        path.symlink_to(target)
        ended = verify(archive.root)
        assert (ended.code, is_plain(ended)) == (2, True), ended
        path.unlink()
        (archive.root / "kept").rename(path)
    assert counts(verify(archive.root)) == RIGHT


def test_a_variant_folder_that_leads_out_of_the_library_is_refused_and_not_read(archive: Archive) -> None:
    outside = archive.root.parent / "outside"
    (archive.frames().parent / "smalls").rename(outside)
    (archive.frames().parent / "smalls").symlink_to(outside)
    ended = verify(archive.root)
    assert (ended.code, "smalls is a link" in ended.err) == (2, True)


def test_single_files_behind_links_are_neither_sources_nor_variants(archive: Archive) -> None:
    outside = archive.root.parent / "outside.jpg"
    archive.variant("a.jpg").rename(outside)
    archive.variant("a.jpg").symlink_to(outside)
    archive.path("c.jpg").symlink_to(outside)
    (archive.frames().parent / "smalls" / "loop.jpg").symlink_to("loop.jpg")
    assert counts(verify(archive.root)) == {"sources": 2, "valid": 2, "missing": 2}


def test_links_in_circles_among_the_cameras_add_nothing(archive: Archive) -> None:
    (archive.root / "cameras/camera-1/timelapse-9").symlink_to(archive.root / "cameras")
    (archive.root / "cameras/camera-9").symlink_to(archive.root)
    assert counts(verify(archive.root)) == RIGHT


def test_folders_with_strange_names_are_left_out_and_strange_files_counted(archive: Archive) -> None:
    for name in (b"timelapse-a..b", b"timelapse-\x1b[31m", b"timelapse-\xff", b"timelapse-" + b"n" * 245):
        folder = os.path.join(os.fsencode(archive.root / "cameras/camera-1"), name, b"frames")
        os.makedirs(folder)
    for name in (b"...jpg", b"\x1b[31m\r\n.jpg", b"n" * 255, b"-rf"):
        archive.frame(name) if name != b"...jpg" else archive.frame(b"a..jpg")
    ended = verify(archive.root)
    assert counts(ended) == {"sources": 6, "valid": 3, "missing": 9}
    assert list(json.loads(ended.out)["by_timelapse"]) == [KEY]
    assert "\x1b" not in ended.out + ended.err


@pytest.fixture
def shared(archive: Archive) -> Iterator[Path]:
    """The library where a user without rights gets at it, and owns it."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        root = Path(folder, "library")
        shutil.copytree(archive.root, root)
        handed_over(root)
        yield root


@pytest.mark.parametrize("place", ["cameras", "cameras/camera-1", f"{TOP}/frames", f"{TOP}/smalls", "thumbs.toml"])
def test_what_may_not_be_read_is_refused_and_named(shared: Path, place: str) -> None:
    (shared / place).chmod(0)
    ended = unprivileged("verify", "--json", "--library", str(shared))
    (shared / place).chmod(0o755)
    assert (ended.code, is_plain(ended), place in ended.err) == (2, True, True), ended


@pytest.mark.parametrize("table", ["inventory", "manifest"])
def test_records_that_may_not_be_read_stop_it(shared: Path, table: str) -> None:
    for path in (shared / ".thumb_pipeline/datasets" / table).rglob("*.parquet"):
        path.chmod(0)
    ended = unprivileged("verify", "--json", "--library", str(shared))
    assert (ended.code in (2, 3), is_plain(ended)) == (True, True), ended


def test_a_state_that_may_not_be_written_is_refused_with_the_setting_to_change(shared: Path) -> None:
    for top, _, _ in os.walk(shared / ".thumb_pipeline"):
        os.chmod(top, 0o555)
    ended = unprivileged("verify", "--json", "--library", str(shared))
    assert (ended.code, is_plain(ended), "storage.state" in ended.err) == (2, True, True), ended


@pytest.mark.daemon
def test_verifications_at_the_same_time_all_tell_the_same_and_keep_one_verdict(archive: Archive) -> None:
    command = [COMMAND, "verify", "--json", "--library", str(archive.root)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    both = [subprocess.Popen(command, env=clean_environment(), **pipes) for _ in range(3)]
    for process in both:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 1, err
        assert counts(Ended(code=1, out=out.decode(), err="")) == RIGHT
    kept = archive.library.verdicts.read(["library/all"]).sort("variant")
    assert kept.select("variant", "valid", "missing").rows() == [("small", 1, 1), ("thumbnail", 2, 0)]


@pytest.mark.daemon
def test_while_frames_are_rendered_nothing_right_is_called_wrong(archive: Archive) -> None:
    for n in range(60):
        archive.frame(f"{n}.jpg", size=(400, 300), color=n)
    before, expected = states(archive.frames()), 2 * 62
    program = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\n"
        "from thumb_pipeline_tests.stages import operations\n"
        "operations.carried_out(operations.GENERATE, Path(sys.argv[1]))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, archive.root, Path(__file__).parents[2]])
    seen = []
    while process.poll() is None:
        ended = verify(archive.root)
        assert (ended.code in (0, 1), "Traceback" in ended.err) == (True, False), ended
        seen.append(counts(ended))
    assert process.returncode == 0
    for found in seen:
        assert {"orphan", "corrupt", "stale_source", "stale_spec", "failed"}.isdisjoint(found)
        assert sum(n for word, n in found.items() if word != "sources") == expected
    assert seen
    assert counts(verify(archive.root)) == {"sources": 62, "valid": expected}
    assert states(archive.frames()) == before
