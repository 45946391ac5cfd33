import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.quick

PROGRAM = """
import os, pathlib, shutil, sys
from thumb_pipeline.storage.standing import never_make_anew
top = sys.argv[1]
os.chdir(top)
never_make_anew([f"{top}/library/state/dagster", f"{top}/library/cameras", f"{top}/absent/state"])
for line in sys.argv[2:]:
    try:
        exec(line)
        print("made")
    except FileNotFoundError as error:
        print("refused" if "is not made anew" in str(error) else error)
"""


@pytest.fixture
def top(tmp_path: Path) -> Path:
    (tmp_path / "library/state/dagster/history").mkdir(parents=True)
    (tmp_path / "library/cameras").mkdir()
    return tmp_path


def said(top: Path, *lines: str) -> list[str]:
    """What a process of its own says of each line: nothing takes back what is asked of it."""
    command = [sys.executable, "-c", PROGRAM, str(top), *lines]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


RENAMED = "os.rename('library', 'renamed')"
DELETED = "shutil.rmtree('library/state')"


@pytest.mark.parametrize(
    "line",
    [
        "os.makedirs(f'{top}/library/state/dagster/history/runs', exist_ok=True)",
        "pathlib.Path(top, 'library/state/dagster/storage').mkdir(parents=True, exist_ok=True)",
        "os.makedirs(os.fsencode(f'{top}/library/state/watch'))",
        "os.makedirs('library/state/leases', exist_ok=True)",
        "os.makedirs(f'{top}/elsewhere/../library/state/x')",
        "shutil.copytree(f'{top}/renamed/state', f'{top}/library/state')",
        "os.makedirs(f'{top}/library/cameras/camera-1/timelapse-1/smalls')",
        "os.mkdir(f'{top}/library')",
    ],
)
def test_what_was_there_is_not_made_anew_by_whichever_way(top: Path, line: str) -> None:
    (top / "elsewhere").mkdir()
    assert said(top, RENAMED, line) == ["made", "refused"]
    assert not (top / "library").exists()


def test_a_part_that_was_deleted_is_not_made_anew_and_the_rest_goes_on(top: Path) -> None:
    lines = [
        DELETED,
        "os.makedirs(f'{top}/library/state/dagster/history')",
        "os.makedirs(f'{top}/library/cameras/camera-1')",
        "os.mkdir(f'{top}/library/other')",
    ]
    assert said(top, *lines) == ["made", "refused", "made", "made"]
    assert not (top / "library/state").exists()


def test_what_is_there_is_made_as_ever(top: Path) -> None:
    lines = [
        "os.makedirs(f'{top}/library/state/dagster', exist_ok=True)",
        "pathlib.Path(top, 'library/state').mkdir(parents=True, exist_ok=True)",
        "os.makedirs(f'{top}/library/state/dagster/history/runs/new')",
        "os.mkdir('library/state/dagster-2')",
        "os.makedirs(f'{top}/absent/state')",  # nobody can have relied on it
    ]
    assert said(top, *lines) == ["made"] * len(lines)


def test_what_comes_back_is_used_again(top: Path) -> None:
    lines = [RENAMED, "os.mkdir(f'{top}/library')", "os.rename('renamed', 'library')", "os.mkdir('library/state/x')"]
    assert said(top, *lines) == ["made", "refused", "made", "made"]
