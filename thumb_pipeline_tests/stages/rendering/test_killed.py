"""A process that is killed while it renders, and the one after it."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from thumb_pipeline.stages.library import clean_up
from thumb_pipeline.stages.library.open import open_library
from thumb_pipeline.stages.rendering.after_killed import clean_up_after_killed
from thumb_pipeline.storage.publishing import temporary_name
from thumb_pipeline_tests.conftest import REPOSITORY
from thumb_pipeline_tests.stages.archives import KEY, Archive, states

pytestmark = pytest.mark.quick

PROGRAM = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from thumb_pipeline.stages.rendering import accept_plan
from thumb_pipeline.stages.library.open import open_library
from thumb_pipeline.stages.planning.plan import make_plan
from thumb_pipeline.stages.inventory.selection import Selection
from thumb_pipeline.stages.rendering.chunk import render_chunk
library = open_library(sys.argv[1])
with library.lease() as lease:
    plan = make_plan(library, Selection(), lease)
    accept_plan.record(library, plan)
    print("planned", flush=True)
    render_chunk(library, plan.rows, lease, run_id="killed", on_source=lambda n: print(n, flush=True))
    sys.stdin.read()
"""


def rendering(archive: Archive) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, archive.root, REPOSITORY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "planned\n"
    return process


def children(pid: int) -> list[int]:
    said = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], check=False, capture_output=True, text=True)
    return [int(line) for line in said.stdout.split()]


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.daemon
def test_a_kill_at_any_moment_and_a_second_run_end_as_if_nothing_had_happened(archive: Archive) -> None:
    for n in range(40):
        archive.frame(f"{n}.jpg", size=(400, 300), color=n)
    before, chance = states(archive.frames()), random.Random(3)
    for _ in range(4):
        process = rendering(archive)
        time.sleep(chance.uniform(0.0, 0.5))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    for _ in range(100):
        if len(clean_up.find_dead_leases(archive.library)) >= 4:
            break
        time.sleep(0.01)  # the last worker ends with its parent, not before it
    dead = clean_up.find_dead_leases(archive.library)
    assert len(dead) == 4
    found = archive.run()
    clean_up.forget(archive.library, dead)
    assert found.failed == found.pending == 0
    assert found.rendered + found.adopted + found.unchanged == 80
    assert len(archive.variant_files()) == 80
    assert not list(archive.root.rglob(".tp-*"))
    assert not list((archive.root / ".thumb_pipeline" / "leases").iterdir())
    assert archive.run().counts == {"unchanged": 80}
    assert states(archive.frames()) == before


@pytest.mark.daemon
def test_workers_end_with_their_parent(archive: Archive) -> None:
    for n in range(40):
        archive.frame(f"{n}.jpg", size=(1200, 900), color=n)
    process = rendering(archive)
    assert process.stdout is not None
    process.stdout.readline()
    workers = children(process.pid)
    assert workers
    process.send_signal(signal.SIGKILL)
    process.communicate()
    deadline = time.monotonic() + 5
    while any(is_alive(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(is_alive(worker) for worker in workers)


def test_folders_announced_before_a_kill_are_cleaned_up_even_if_no_plan_meets_them(archive: Archive) -> None:
    folder = archive.frames().parent / "elsewhere"
    folder.mkdir()
    library = archive.library
    archive.killed_lease("0badf00d", "elsewhere", "gone")
    (folder / ".tp-0badf00d-1-1").write_bytes(b"half")
    (folder / "whole.jpg").write_bytes(b"mine")
    assert clean_up.clean_up(library) == 1
    assert os.listdir(folder) == ["whole.jpg"]
    assert clean_up.find_dead_leases(library) == ["0badf00d"]
    clean_up.forget(library, ["0badf00d"])
    assert clean_up.find_dead_leases(library) == []


def test_a_folder_that_cannot_be_read_keeps_its_lease_and_stops_no_other_clean_up(archive: Archive) -> None:
    folders = {name: archive.frames().parent / name for name in ("circles", "readable", "file")}
    folders["circles"].symlink_to("circles")
    folders["readable"].mkdir()
    folders["file"].write_bytes(b"")
    library = archive.library
    leases = {"0badf00d": ("circles", "readable"), "0badcafe": ("readable", "file")}
    for lease_id, names in leases.items():
        archive.killed_lease(lease_id, *names)
        (folders["readable"] / f".tp-{lease_id}-1-1").write_bytes(b"half")
    assert clean_up.clean_up(library) == 2
    clean_up.forget(library, sorted(leases))
    assert clean_up.find_dead_leases(library) == ["0badf00d"]
    folders["circles"].unlink()
    folders["circles"].mkdir()
    (folders["circles"] / ".tp-0badf00d-1-2").write_bytes(b"half")
    assert clean_up.clean_up(library) == 1
    clean_up.forget(library, ["0badf00d"])
    assert clean_up.find_dead_leases(library) == []


def test_captures_clean_up_after_a_run_whose_folder_cannot_be_read_any_more(archive: Archive) -> None:
    library = archive.library
    (archive.frames().parent / "circles").symlink_to("circles")
    archive.killed_lease("0badf00d", "circles")
    assert clean_up_after_killed(library) == 0
    assert clean_up.find_dead_leases(library) == ["0badf00d"]


def test_a_copy_of_a_library_cleans_up_in_itself_and_leaves_the_unfinished_files_of_the_original_alone(
    archive: Archive, tmp_path: Path
) -> None:
    smalls = archive.frames().parent / "smalls"
    smalls.mkdir()
    with archive.library.lease() as lease:
        clean_up.announce(archive.library, lease, [(KEY, "smalls")])
        unfinished = smalls / temporary_name(lease.id)
        unfinished.write_bytes(b"half")
        shutil.copytree(archive.root, tmp_path / "copy")
        copy = open_library(str(tmp_path / "copy"))
        assert clean_up.clean_up(copy) == 1
        assert unfinished.read_bytes() == b"half"
    assert list(tmp_path.joinpath("copy").rglob(".tp-*")) == []


@pytest.mark.parametrize(
    "line", ["{original}/cameras/camera-1/timelapse-1/smalls", "../original/x", "{original}/smalls"]
)
def test_a_lease_that_names_folders_outside_of_the_library_leads_nowhere(
    archive: Archive, tmp_path: Path, line: str
) -> None:
    original = tmp_path / "original"
    for folder in (original / "cameras/camera-1/timelapse-1/smalls", original / "smalls", original / "x"):
        folder.mkdir(parents=True)
        (folder / ".tp-0badf00d-1-1").write_bytes(b"half")
    archive.killed_lease("0badf00d")
    Path(archive.library.lease_folder, "0badf00d.lease").write_text(line.format(original=original) + "\n")
    assert clean_up.clean_up(archive.library) == 0
    assert len(list(original.rglob(".tp-*"))) == 3


def test_a_lease_of_an_earlier_version_names_its_folders_by_their_paths(archive: Archive) -> None:
    smalls = archive.frames().parent / "smalls"
    smalls.mkdir()
    (smalls / ".tp-0badf00d-1-1").write_bytes(b"half")
    archive.killed_lease("0badf00d")
    Path(archive.library.lease_folder, "0badf00d.lease").write_text(f"pid 1\n{smalls}\n")
    assert clean_up.clean_up(archive.library) == 1
