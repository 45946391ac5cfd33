"""Disks that are full, broken, other ones, or closed to us while files are removed."""

import errno
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from thumb_pipeline.domain.removals import Operation
from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline.stages.removal import journal, run
from thumb_pipeline.stages.removal.planned import RemovalWish
from thumb_pipeline.storage.leases import LockTimeout
from thumb_pipeline_tests.conftest import REPOSITORY
from thumb_pipeline_tests.stages.archives import KEY, Archive, run_id, states
from thumb_pipeline_tests.stages.mounts import mounted
from thumb_pipeline_tests.stages.removals import carried_out, purged, swept, written_down

pytestmark = pytest.mark.quick

PROGRAM = """
import sys
from thumb_pipeline.domain.removals import Operation
from thumb_pipeline.stages.removal import run
from thumb_pipeline.stages.library.errors import REFUSALS
from thumb_pipeline.stages.library.open import open_library
from thumb_pipeline.stages.removal.planned import RemovalWish
library = open_library(sys.argv[1])
with library.lease() as lease:
    try:
        wish = RemovalWish() if len(sys.argv) < 3 else RemovalWish(use_trash=False, expected_files=4)
        done = run.perform(library, Operation.PURGE, wish, "00000000-0000-4000-8000-000000000000", lease)
    except REFUSALS as refused:
        print("refused:", refused)
    else:
        print(done.document(), done.kept_by_reason())
"""


def program(archive: Archive, *arguments: str, before: list[str]) -> str:
    """What a purge in another process says, started by other commands."""
    ended = subprocess.run(
        [*before, sys.executable, "-c", PROGRAM, str(archive.root), *arguments],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def unprivileged() -> list[str]:
    """A command line under which permissions hold, also for root."""
    if os.geteuid() != 0:
        return []
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-U", "true"], check=False).returncode:
        pytest.skip("root reads and writes everything, and unshare -U does not work here")
    return ["unshare", "-U"]


@contextmanager
def no_file_may_grow() -> Iterator[None]:
    """Every write fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_takes_no_journal_stops_a_removal_before_anything_moves(done: Archive) -> None:
    before = states(done.root / "cameras")
    library = done.library
    with library.lease() as lease, pytest.raises(Refused, match="nothing was moved"), no_file_may_grow():
        run.perform(library, Operation.PURGE, RemovalWish(), run_id("purge"), lease)
    assert states(done.root / "cameras") == before
    assert done.manifest().height == 4
    assert os.listdir(done.library.journals) == [".lock"]


@pytest.mark.daemon
def test_a_disk_that_fails_while_the_journal_is_written_stops_it_too(done: Archive) -> None:
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    said = program(done, before=["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=fsync:error=EIO"])
    assert said.startswith("refused:")
    assert "nothing was moved" in said
    assert len(done.variant_files()) == 4


@pytest.mark.daemon
@pytest.mark.parametrize("mount", ["mount -t tmpfs none {folder}", "mount --bind {aside} {folder}"])
def test_a_variant_folder_on_another_file_system_is_refused_before_anything_moves(done: Archive, mount: str) -> None:
    folder, aside = done.variant("a.jpg").parent, done.root / "aside"
    shutil.copytree(folder, aside)
    commands = mounted(mount.format(folder=folder, aside=aside), f"cp -p {aside}/* {folder}/ 2>/dev/null || true")
    said = program(done, before=commands)
    assert said.startswith(f"refused: {folder} lie")
    assert "--no-trash" in said
    assert len(list((done.frames().parent / "thumbnails").iterdir())) == 2
    assert "'removed': 4, 'kept': 0" in program(done, "for good", before=commands)


@pytest.mark.daemon
def test_a_trash_that_takes_no_folder_keeps_every_file(archive: Archive) -> None:
    disk, copy = archive.root / "disk", archive.root / "copy"
    archive.settings(top=f'[storage]\nvariants = "{disk}"')
    archive.frame("a.jpg")
    assert archive.run().rendered == 2
    shutil.copytree(disk, copy)
    full = f"mount -t tmpfs -o nr_inodes=9 none {disk}"  # the root, five folders, three files
    said = program(archive, before=mounted(full, f"cp -rp {copy}/. {disk}/"))
    assert "'removed': 0, 'kept': 2" in said
    assert "'not_movable': 2" in said


@pytest.mark.daemon
def test_a_folder_that_takes_no_changes_keeps_its_files(done: Archive) -> None:
    folder = done.variant("a.jpg").parent
    folder.chmod(0o555)
    try:
        said = program(done, before=unprivileged())
    finally:
        folder.chmod(0o755)
    assert "'removed': 2, 'kept': 2" in said
    assert "'not_movable': 2" in said
    assert done.manifest()["variant"].to_list() == ["small", "small"]


@pytest.mark.daemon
@pytest.mark.parametrize("which", ["small", "thumbnail", "frames"])
def test_a_folder_that_cannot_be_read_refuses_the_whole_removal(done: Archive, which: str) -> None:
    folder = done.frames() if which == "frames" else done.variant("a.jpg", which).parent
    folder.chmod(0)
    try:
        said = program(done, before=unprivileged())
    finally:
        folder.chmod(0o755)
    assert said.startswith(f"refused: {folder} cannot be read")
    assert len(done.variant_files()) == 4


def test_a_second_removal_waits_for_the_first_and_then_finds_what_that_one_left(done: Archive) -> None:
    library, results = done.library, []
    with journal.lock_removals(library):
        second = threading.Thread(target=lambda: results.append(purged(done)))
        second.start()
        time.sleep(0.2)
        assert results == []
        assert done.run().counts == {"unchanged": 4}  # rendering does not wait
    second.join()
    assert results[0].n_removed == 4


def test_who_waits_too_long_is_told_what_is_at_work(done: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thumb_pipeline.storage.leases.lock.__wrapped__.__kwdefaults__", {"timeout_s": 0.05})
    with (
        journal.lock_removals(done.library),
        pytest.raises(LockTimeout, match="another sweep, purge, restore or repair is at work"),
        journal.lock_removals(done.library),
    ):
        pass


@pytest.mark.daemon
def test_generate_beside_a_purge_ends_with_every_variant(done: Archive) -> None:
    for index in range(30):
        done.frame(f"{index}.jpg", size=(300, 200), color=index)
    rendering = threading.Thread(target=done.run)
    rendering.start()
    for _ in range(5):
        purged(done)
        time.sleep(0.1)
    rendering.join()
    sources = states(done.frames())
    assert done.run().failed == 0
    assert done.run().counts == {"unchanged": 64}
    assert states(done.frames()) == sources


def test_a_library_that_goes_away_in_the_middle_keeps_the_rest(done: Archive) -> None:
    done.frame("x.jpg", key="camera-2/timelapse-9")
    done.run()
    for key, name in ((KEY, "a.jpg"), ("camera-2/timelapse-9", "x.jpg")):
        done.path(name, key).unlink()
    removal_id = written_down(done, force=True)
    os.rename(done.root / "cameras/camera-2", done.root / "away")
    result = carried_out(done, removal_id)
    assert (result.n_removed, result.n_planned) == (2, 4)
    assert result.kept_by_reason() == {"gone": 2}
    os.rename(done.root / "away", done.root / "cameras/camera-2")
    assert swept(done, force=True).n_removed == 2


def test_a_full_disk_of_the_state_is_told_as_such(done: Archive) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert "free space on that disk, or name another folder as storage.state" in str(done.library.state_refused(full))
