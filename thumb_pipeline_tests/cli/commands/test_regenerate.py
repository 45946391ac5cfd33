"""`regenerate` as a user runs it, stops it and runs it again."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from thumb_pipeline.cli import console
from thumb_pipeline.cli.app import app
from thumb_pipeline.domain.quantities import human_bytes
from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline_tests.cli.conftest import COMMAND, Archive, Run, clean_environment, jpeg
from thumb_pipeline_tests.conftest import REPOSITORY

pytestmark = pytest.mark.daemon

N_FRAMES = 150


FORECAST = re.compile(
    r"(?P<variants>\d+) variants? of (?P<sources>\d+) sources?: reads (?P<reads>[\d.]+ \w+), "
    r"writes about (?P<writes>[\d.]+ \w+), takes about (?P<takes>[\d.]+ \w+) here"
)

COMMANDS_PAGE = (REPOSITORY / "docs/commands.md").read_text(encoding="utf-8")
ONE, OTHER = "camera-1/timelapse-1", "camera-2/timelapse-2"
DAYS = ["timelapse-1_20250421_120000.jpg", "timelapse-1_20250422_120000.jpg", "timelapse-1_20250423_120000.jpg"]
LATEST = "timelapse-2_20250424_120000.jpg"
BROKEN = "broken.jpg"


@pytest.fixture(scope="module")
def shared(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Three days of one camera; of another the day after them and an older file that is no picture; all rendered.

    Whatever is rendered again, it is as it was, so tests can follow one another.
    """
    archive = Archive(tmp_path_factory.mktemp("shared") / "library")
    assert run("init", archive.root).code == 0
    for name in DAYS:
        archive.add(name, key=ONE)
    archive.add(LATEST, key=OTHER)
    os.utime(archive.add(BROKEN, b"no picture", key=OTHER), (0, 0))
    assert run("generate", "--library", archive.root).code == 1
    return archive


def pictures(*names: str, variants: tuple[str, ...] = ("thumb", "small")) -> set[str]:
    """The variant files of sources."""
    return {name.replace("_2025", f"_{variant}_2025", 1) for name in names for variant in variants}


@pytest.mark.parametrize(
    ("options", "renewed", "n_failed"),
    [
        (["--all"], pictures(*DAYS, LATEST), 1),
        (["--timelapse", ONE], pictures(*DAYS), 0),
        (["--timelapse", ONE, "--timelapse", OTHER], pictures(*DAYS, LATEST), 1),
        (["--camera", "camera-2"], pictures(LATEST), 1),
        (["--source", DAYS[0]], pictures(DAYS[0]), 0),
        (["--variant", "small"], pictures(*DAYS, LATEST, variants=("small",)), 1),
        (["--since", "2025-04-22"], pictures(*DAYS[1:], LATEST), 0),
        (["--failed", "not_an_image"], set(), 1),
        (["--all", "--limit", "2"], pictures(DAYS[2], LATEST), 0),
        (["--camera", "camera-1", "--since", "2025-04-23"], pictures(DAYS[2]), 0),
        (["--timelapse", ONE, "--limit", "1"], pictures(DAYS[2]), 0),
        (["--source", DAYS[1], "--variant", "thumbnail"], pictures(DAYS[1], variants=("thumb",)), 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_each_option_chooses_what_is_rendered_again_and_nothing_else(
    shared: Archive, run: Run, options: list[str], renewed: set[str], n_failed: int
) -> None:
    before = mtimes(shared)
    ended = run("regenerate", *options, "--library", shared.root, "--json")
    assert ended.code == (1 if n_failed else 0), ended.err
    after = mtimes(shared)
    assert {Path(path).name for path in after if after[path] != before[path]} == renewed
    assert (ended.json["rendered"], ended.json["failed"]) == (len(renewed), n_failed)
    said = FORECAST.search(ended.err)
    assert said is not None
    n_refused = n_failed * (1 if "--variant" in options else 2)
    assert int(said["variants"]) == len(renewed) + n_refused


@pytest.mark.parametrize(
    "narrowed",
    [
        ["--timelapse", ONE],
        ["--camera", "camera-1"],
        ["--source", DAYS[0]],
        ["--variant", "small"],
        ["--since", "2025-04-22"],
        ["--failed", "not_an_image"],
    ],
    ids=lambda options: options[0],
)
def test_everything_together_with_a_choice_is_refused_and_the_way_out_named(
    shared: Archive, narrowed: list[str]
) -> None:
    refused = CliRunner().invoke(app, ["regenerate", "--all", *narrowed, "--library", str(shared.root)]).exception
    assert isinstance(refused, Refused)
    assert "--all is the whole library: leave it out, or leave out" in str(refused)
    assert narrowed[0] in str(refused)


def test_a_limit_alone_is_refused_with_what_it_goes_with(shared: Archive, run: Run) -> None:
    refused = run("regenerate", "--limit", "3", "--library", shared.root)
    assert refused.code == 2
    assert "say what to render again: --all, or --timelapse" in refused.err
    assert "--limit 3 only says how many of these" in refused.err


def test_the_documented_choices_are_those_that_a_refusal_names(shared: Archive) -> None:
    row = next(line for line in COMMANDS_PAGE.splitlines() if line.startswith("| `--limit N`"))
    choices = [option for option in re.findall(r"`(--\w+)`", row) if option != "--all"]
    refused = CliRunner().invoke(app, ["regenerate", "--library", str(shared.root)]).exception
    assert str(refused) == f"say what to render again: --all, or {', '.join(choices)}"


@pytest.mark.parametrize("is_resumed", [False, True], ids=["begun", "resumed"])
def test_how_many_how_many_bytes_and_how_long_is_said_before_the_first_picture_is_replaced(
    archive: Archive, run: Run, is_resumed: bool
) -> None:
    archive.fill(8)
    run("generate", "--library", archive.root)
    if is_resumed:
        _announced(archive, then=signal.SIGKILL)
    before = mtimes(archive)

    lines, said, said_at_ns = _announced(archive)

    assert any("going on with run" in line for line in lines) == is_resumed
    assert (int(said["variants"]), int(said["sources"])) == (16, 8)
    n_bytes = sum(path.stat().st_size for path in archive.frames().iterdir())
    assert said["reads"] == human_bytes(n_bytes)
    assert re.fullmatch(r"[1-9][\d.]* (k|M)?B", said["writes"])
    assert re.fullmatch(r"[\d.]+ s", said["takes"])
    after = mtimes(archive)
    assert all(at_ns > said_at_ns > before[path] for path, at_ns in after.items())


def _announced(archive: Archive, *, then: signal.Signals | None = None) -> tuple[list[str], "re.Match[str]", int]:
    """What `regenerate` says up to its forecast, that, and when it was read; it goes on to its end unless killed."""
    arguments = [COMMAND, "regenerate", "--all", "--library", str(archive.root)]
    process = subprocess.Popen(
        arguments, start_new_session=True, stderr=subprocess.PIPE, text=True, env=clean_environment()
    )
    assert process.stderr is not None
    lines: list[str] = []
    while (said := FORECAST.search(lines[-1] if lines else "")) is None:
        lines.append(process.stderr.readline())
        assert lines[-1], lines
    said_at_ns = time.time_ns()
    if then is not None:
        os.killpg(process.pid, then)
    process.communicate(timeout=60)
    return lines, said, said_at_ns


def mtimes(archive: Archive) -> dict[str, int]:
    return {path: os.stat(archive.root / path).st_mtime_ns for path in archive.variants()}


def test_everything_is_rendered_again_and_said_before_it_starts(archive: Archive, run: Run) -> None:
    archive.fill(3)
    run("generate", "--library", archive.root)
    before = mtimes(archive)
    again = run("regenerate", "--all", "--library", archive.root, "--json")
    assert again.code == 0, again.err
    assert again.json["rendered"] == 6
    after = mtimes(archive)
    assert after.keys() == before.keys()
    assert all(after[path] > before[path] for path in before)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_stopped_or_killed_and_repeated_it_does_nothing_twice(
    archive: Archive, run: Run, how: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = archive.root / "thumbs.toml"
    settings.write_text(settings.read_text().replace("chunk_s = 60.0", "chunk_s = 0.2"))
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
    order, recorded = _recorded_since(archive)
    (left,) = run("status", "--library", archive.root, "--json").json["stopped"]
    assert (left["n_done"], left["command"], left["left_s"]) == (recorded, "thumb-pipeline regenerate --all", None)
    halfway = mtimes(archive)
    assert 0 < _n_newer(archive, before) < 2 * N_FRAMES

    monkeypatch.setattr(console, "_PLAIN_LINE_EVERY_S", 0.0)
    again = CliRunner().invoke(app, ["regenerate", "--all", "--library", str(archive.root), "--json"])

    assert again.exit_code == 0, again.stderr
    assert f"going on with run {order}" in again.stderr
    said = FORECAST.search(again.stderr)
    assert said is not None
    assert int(said["variants"]) == 2 * N_FRAMES - recorded
    n_before = N_FRAMES - int(said["sources"])
    assert n_before > 0 or how is signal.SIGKILL  # which loses the note of the last five seconds
    shown = re.findall(r"rendering: (\d+) of (\d+)", again.stderr)
    assert [(int(n), int(of)) for n, of in shown] == [(n + 1, N_FRAMES) for n in range(n_before, N_FRAMES)]
    after = mtimes(archive)
    assert all(after[path] > before[path] for path in before)
    assert json.loads(again.stdout)["rendered"] == 2 * N_FRAMES - recorded
    assert sum(after[path] == halfway[path] for path in after) == recorded
    assert archive.leftovers() == []
    assert "going on" not in run("regenerate", "--all", "--limit", "1", "--library", archive.root).err


def _n_newer(archive: Archive, before: dict[str, int]) -> int:
    return sum(now > before[path] for path, now in mtimes(archive).items())


def _recorded_since(archive: Archive) -> tuple[str, int]:
    """The id of the stopped run's order, and how many variants that has recorded."""
    from thumb_pipeline.stages.library.open import open_library

    library = open_library(str(archive.root))
    (order,) = os.listdir(library.plans)
    manifest = library.manifest.read(["camera-1/timelapse-1"])
    return order, int((manifest["run_id"] == order).sum())


def _wait_until(is_true: object) -> None:
    deadline = time.monotonic() + 60
    while not is_true():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_same_asked_for_while_it_is_under_way_is_refused_and_disturbs_nothing(archive: Archive, run: Run) -> None:
    frame = jpeg((1920, 1080))
    for index in range(N_FRAMES):
        archive.add(f"timelapse-1_20250422_{index:06d}.jpg", frame)
    run("generate", "--library", archive.root)
    before = mtimes(archive)
    command = [COMMAND, "regenerate", "--all", "--library", str(archive.root), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=clean_environment())
    _wait_until(lambda: _n_newer(archive, before) >= 10)
    process.send_signal(signal.SIGSTOP)  # as slow as a large library
    second = run("regenerate", "--all", "--library", archive.root)
    process.send_signal(signal.SIGCONT)
    assert second.code == 2
    assert re.search(r"run \S+ does the same work: thumb-pipeline status", second.err)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(out)["rendered"] == 2 * N_FRAMES
