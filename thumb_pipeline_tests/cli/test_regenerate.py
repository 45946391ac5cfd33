"""`regenerate` as a user runs it, stops it and runs it again."""

import os
import signal
import subprocess
import time

import pytest

from thumb_pipeline_tests.cli.conftest import COMMAND, Archive, Run, clean_environment, jpeg

pytestmark = pytest.mark.slow

N_FRAMES = 150


def mtimes(archive: Archive) -> dict[str, int]:
    return {path: os.stat(archive.root / path).st_mtime_ns for path in archive.variants()}


def test_everything_is_rendered_again_and_said_before_it_starts(archive: Archive, run: Run) -> None:
    archive.fill(3)
    run("generate", "--library", archive.root)
    before = mtimes(archive)
    again = run("regenerate", "--all", "--library", archive.root, "--json")
    assert again.code == 0, again.err
    assert again.json["rendered"] == 6
    assert "6 variants of 3 sources: reads" in again.err
    after = mtimes(archive)
    assert after.keys() == before.keys()
    assert all(after[path] > before[path] for path in before)


def test_nothing_chosen_is_refused_with_the_choices(archive: Archive, run: Run) -> None:
    refused = run("regenerate", "--library", archive.root)
    assert refused.code == 2
    assert "--all" in refused.err


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_stopped_or_killed_and_repeated_it_does_nothing_twice(archive: Archive, run: Run, how: signal.Signals) -> None:
    frame = jpeg((1920, 1080))
    for index in range(N_FRAMES):
        archive.add(f"timelapse-1_20250422_{index:06d}.jpg", frame)
    run("generate", "--library", archive.root)
    before = mtimes(archive)
    command = [COMMAND, "regenerate", "--all", "--library", str(archive.root)]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL, env=clean_environment())
    _wait_until(lambda: _n_newer(archive, before) >= 40)
    os.killpg(process.pid, how) if how is signal.SIGKILL else process.send_signal(how)
    process.wait(20)
    recorded = _recorded_since(archive)
    halfway = mtimes(archive)
    assert 0 < _n_newer(archive, before) < 2 * N_FRAMES

    again = run("regenerate", "--all", "--library", archive.root, "--json")

    assert again.code == 0, again.err
    assert "going on with run" in again.err
    after = mtimes(archive)
    assert all(after[path] > before[path] for path in before)
    assert again.json["rendered"] == 2 * N_FRAMES - recorded
    assert sum(after[path] == halfway[path] for path in after) == recorded
    assert archive.leftovers() == []
    assert "going on" not in run("regenerate", "--all", "--limit", "1", "--library", archive.root).err


def _n_newer(archive: Archive, before: dict[str, int]) -> int:
    return sum(now > before[path] for path, now in mtimes(archive).items())


def _recorded_since(archive: Archive) -> int:
    """How many variants the stopped run has recorded, by the id of its order."""
    from thumb_pipeline.stages.library import open_library

    library = open_library(str(archive.root))
    (order,) = os.listdir(library.plans)
    manifest = library.manifest.read(["camera-1/timelapse-1"])
    return int((manifest["run_id"] == order).sum())


def _wait_until(is_true: object) -> None:
    deadline = time.monotonic() + 60
    while not is_true():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)
