"""Sweep, purge and restore killed before each of their changes to the disk, and what the next command finds."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from thumb_pipeline.domain.removals import Operation
from thumb_pipeline.stages.removal import journal
from thumb_pipeline_tests.conftest import REPOSITORY
from thumb_pipeline_tests.stages.archives import KEY, Archive, states
from thumb_pipeline_tests.stages.removals import in_trash, planned, purged, restored, swept

pytestmark = pytest.mark.daemon

PROGRAM = """
import os, signal, sys
from thumb_pipeline.domain.removals import Operation
from thumb_pipeline.stages.removal import journal, restore, run
from thumb_pipeline.stages.library.open import open_library
from thumb_pipeline.stages.removal.planned import RemovalWish

root, operation, run_id, kill_at = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
seen = 0

def watch(event, arguments):  # the interpreter tells of every change before it is made
    global seen
    is_change = event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate")
    if is_change or (event == "ctypes.dlsym" and arguments[1] == "renameat2"):
        seen += 1
        if seen == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

library = open_library(root)
with library.lease() as lease:
    sys.addaudithook(watch)
    if operation == "restore":
        with journal.lock_removals(library):
            restore.restore(library, run_id, lease)
    else:
        run.perform(library, Operation(operation), RemovalWish(), run_id, lease)
print(seen)
"""
RUN = "0b0e6a5c-0000-4000-8000-000000000001"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """A library of five sources, of which two were deleted."""
    archive = Archive(tmp_path_factory.mktemp("made") / "library")
    for index, name in enumerate("abcde"):
        archive.frame(f"{name}.jpg", color=index * 40)
    assert archive.run().rendered == 10
    for name in "ab":
        archive.path(f"{name}.jpg").unlink()
    return archive


def copied(made: Archive, folder: Path) -> Archive:
    shutil.copytree(made.root, folder, symlinks=True)
    return Archive(folder)


def run_until(archive: Archive, operation: str, kill_at: int) -> int | None:
    """Runs an operation; returns how many changes it made, or None where it was killed before one of them."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, archive.root, operation, RUN, str(kill_at)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode == -signal.SIGKILL:
        return None
    assert ended.returncode == 0, ended.stderr
    return int(ended.stdout)


def spread(n_changes: int, n_points: int = 8) -> list[int]:
    """Some of the changes, the first and the last among them."""
    step = max(1, n_changes // n_points)
    return sorted({*range(1, n_changes + 1, step), n_changes})


def lying(archive: Archive) -> list[str]:
    """Every variant, wherever it lies; one that lies in two places is there twice."""
    moved = {name.removeprefix(f"cameras/{KEY}/") for name in in_trash(archive)}
    return sorted([*archive.variant_files(), *moved])


def records(archive: Archive) -> list[tuple[str, str]]:
    return list(archive.manifest().select("source_name", "variant").iter_rows())


@pytest.mark.parametrize("operation", list(Operation))
def test_a_removal_killed_at_any_change_loses_nothing_and_is_finished_by_its_repetition(
    made: Archive, tmp_path: Path, operation: Operation
) -> None:
    whole = copied(made, tmp_path / "whole")
    n_changes = run_until(whole, operation.value, 0)
    assert n_changes is not None
    assert n_changes > 10
    left, left_records = whole.variant_files(), records(whole)
    before, all_records, sources = made.variant_files(), records(made), states(made.frames())
    for kill_at in spread(n_changes):
        archive = copied(made, tmp_path / f"{kill_at}")
        assert run_until(archive, operation.value, kill_at) is None
        assert lying(archive) == sorted(before), kill_at
        if kill_at % 2 and journal.is_placed(archive.library, RUN):
            restored(archive, RUN)
            assert archive.variant_files() == before, kill_at
            assert records(archive) == all_records, kill_at
            assert in_trash(archive) == set()
            assert not journal.is_placed(archive.library, RUN)
        again = (swept if operation is Operation.SWEEP else purged)(archive)
        assert again.kept == []
        assert archive.variant_files() == left, kill_at
        assert records(archive) == left_records, kill_at
        assert planned(archive, operation).files.is_empty()
        assert [value for _, value in sorted(states(archive.frames()).items())] == [
            value for _, value in sorted(sources.items())
        ]


def test_a_restore_killed_at_any_change_is_finished_by_its_repetition(made: Archive, tmp_path: Path) -> None:
    purged_library = copied(made, tmp_path / "purged")
    run_until(purged_library, "purge", 0)
    whole = copied(purged_library, tmp_path / "whole")
    n_changes = run_until(whole, "restore", 0)
    assert n_changes is not None
    assert n_changes > 10
    assert (whole.variant_files(), records(whole)) == (made.variant_files(), records(made))
    for kill_at in spread(n_changes):
        archive = copied(purged_library, tmp_path / f"{kill_at}")
        assert run_until(archive, "restore", kill_at) is None
        assert lying(archive) == sorted(made.variant_files()), kill_at
        if journal.is_placed(archive.library, RUN):
            assert restored(archive, RUN).kept.total() == 0
        assert archive.variant_files() == made.variant_files(), kill_at
        assert records(archive) == records(made), kill_at
        assert not os.path.lexists(archive.library.trash)
