"""A repair that is killed just before any of its changes, two at once, and any series of edits before one."""

import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from thumb_pipeline_tests.conftest import REPOSITORY
from thumb_pipeline_tests.stages.archives import SETTLE_S, Archive, states, touch
from thumb_pipeline_tests.stages.repair.test_repair import is_valid, lose_manifest, repaired, without_provenance
from thumb_pipeline_tests.stages.test_random_edits import Editor
from thumb_pipeline_tests.stages.verification.test_verify import counts, verified

pytestmark = pytest.mark.daemon

PROGRAM = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from thumb_pipeline.stages.inventory.selection import find_timelapses
from thumb_pipeline.stages.library.open import open_library
from thumb_pipeline.stages.repair.repair import repair

changes = 0

def count(event, args):
    global changes
    if event in ("os.rename", "os.remove", "os.link") or (event == "ctypes.dlsym" and args[1] == "renameat2"):
        changes += 1
        if changes == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)

library = open_library(sys.argv[1])
with library.lease() as lease:
    sys.addaudithook(count)
    repair(library, find_timelapses(library, ()), lease, apply=True)
"""


def command(root: Path, killed_before: int) -> list[str]:
    return [sys.executable, "-c", PROGRAM, str(root), str(REPOSITORY), str(killed_before)]


def pictures(archive: Archive) -> Counter[str]:
    """Digests of all files in variant folders, wherever they lie."""
    found = states(archive.root / "cameras")
    return Counter(digest for path, (digest, _) in found.items() if b"/frames/" not in path)


def in_disorder(archive: Archive) -> None:
    for n in range(4):
        archive.frame(f"{n}.jpg", color=n * 40)
    archive.run()
    archive.path("0.jpg").rename(archive.path("renamed.jpg"))
    archive.variant("1.jpg").rename(archive.variant("1.jpg").with_name("lost.jpg"))
    without_provenance(archive.variant("2.jpg"))
    archive.variant("2.jpg").rename(archive.variant("2.jpg").with_suffix(".jpeg"))
    touch(archive.path("3.jpg"))


def test_a_kill_before_any_change_and_a_second_repair_end_as_if_nothing_had_happened(tmp_path: Path) -> None:
    first = Archive(tmp_path / "first")
    in_disorder(first)
    before = pictures(first)
    for killed_before in range(1, 100):
        archive = Archive(tmp_path / f"copy{killed_before}", said=first.said)
        shutil.copytree(first.root, archive.root, dirs_exist_ok=True)
        ended = subprocess.run(command(archive.root, killed_before), check=False, capture_output=True)
        assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
        assert pictures(archive) == before
        if ended.returncode == 0:
            break
        repaired(archive)
        assert pictures(archive) == before
        assert is_valid(archive), killed_before
        shutil.rmtree(archive.root)
    assert killed_before > 8  # it changes more than a record or two
    assert is_valid(archive)


def test_two_at_once_do_the_work_once(archive: Archive) -> None:
    in_disorder(archive)
    before = pictures(archive)
    both = [subprocess.Popen(command(archive.root, 0), stderr=subprocess.PIPE) for _ in range(2)]
    for process in both:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    assert pictures(archive) == before
    assert is_valid(archive)


class Mover(Editor):
    """Does to an archive, besides, what people do who tidy up."""

    def __init__(self, archive: Archive, seed: int) -> None:
        super().__init__(archive, seed)
        self.edits = (
            *self.edits,
            *(self.rename_source, self.rename_variant, self.exchange_folder, self.copy_variant) * 2,
            *(self.strip_provenance, self.touch_all, self.lose_the_manifest),
        )

    def rename_source(self) -> None:
        for path in self._some(self.sources()):
            path.rename(path.with_name(f"new{self.chance.randrange(1000)}.jpg"))

    def rename_variant(self) -> None:
        for path in self._some(self.variants()):
            path.rename(path.with_name(f"odd{self.chance.randrange(1000)}.jpg"))

    def exchange_folder(self) -> None:
        for path in self._some(self.variants()):
            folder = path.parent.with_name("smalls" if path.parent.name == "thumbnails" else "thumbnails")
            folder.mkdir(exist_ok=True)
            path.replace(folder / path.name)

    def copy_variant(self) -> None:
        for path in self._some(self.variants()):
            shutil.copy2(path, path.with_name(f"copy{self.chance.randrange(1000)}.jpg"))

    def strip_provenance(self) -> None:
        for path in self._some([path for path in self.variants() if path.suffix == ".jpg"]):
            try:
                without_provenance(path)
            except (OSError, SyntaxError):
                path.unlink()

    def touch_all(self) -> None:
        for path in [*self.sources(), *self.variants()]:
            touch(path)

    def lose_the_manifest(self) -> None:
        if Path(self.archive.library.state, "datasets", "manifest").exists():
            lose_manifest(self.archive)


@pytest.mark.parametrize("seed", range(8))
def test_after_any_edits_repair_and_generate_leave_nothing_but_unmatched_files(archive: Archive, seed: int) -> None:
    archive.settings(settle_s=str(SETTLE_S / 5))
    mover = Mover(archive, seed)
    mover.add()
    for _ in range(4):
        for _ in range(mover.chance.randrange(2, 9)):
            mover.edit()
        sources, before = states(archive.frames()), pictures(archive)
        repaired(archive, accept_shrink=True)
        assert pictures(archive) == before
        archive.run(accept_shrink=True)
        assert states(archive.frames()) == sources
        part = verified(archive)
        for variant in ("small", "thumbnail"):
            assert set(counts(part, variant)) <= {"valid", "failed", "orphan"}
        again = repaired(archive)
        assert (again.moved.height, again.adopted.height, again.dropped.height) == (0, 0, 0)
