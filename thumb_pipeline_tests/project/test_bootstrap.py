"""The bootstrap: its messages, and when it takes `.venv` for finished. Installing for real is what the tests run on."""

import ast
import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.quick

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what run.py reads, in a folder with a space in its name."""
    root = tmp_path / "a checkout"
    shutil.copytree(REPOSITORY / "deploy", root / "deploy")
    for name in ("run.py", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, root / name)
    return root


@pytest.fixture
def bootstrap(checkout: Path) -> ModuleType:
    return loaded(checkout)


def loaded(checkout: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap", checkout / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_complete(bootstrap: ModuleType) -> None:
    """Lay out what a finished set-up leaves; the programs only say where they were started and with what."""
    program = Path(bootstrap.CONSOLE_SCRIPT)
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text('#!/bin/sh\npwd\nprintf "%s\\n" "$@"\nexit 7\n')
    program.chmod(0o755)
    shutil.copy(program, bootstrap.PYTHON)
    Path(bootstrap._stamp("environment")).write_text(bootstrap._environment())
    for layer in bootstrap.LAYERS:
        Path(bootstrap._stamp(layer)).write_text(bootstrap.fingerprint(layer))


def run(checkout: Path, *arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(checkout / "run.py"), *arguments]
    return subprocess.run(command, check=False, cwd=folder, env=environment, capture_output=True, text=True)


def test_an_old_python_still_parses_it() -> None:
    ast.parse((REPOSITORY / "run.py").read_text(), feature_version=(3, 6))


@pytest.mark.parametrize("version", [(3, 6), (3, 10), (3, 14)])
def test_another_python_is_refused_with_the_ones_that_will_do(bootstrap: ModuleType, version: tuple[int, int]) -> None:
    with pytest.raises(bootstrap.SetUpError, match=r"Python 3\.11 to 3\.13 is needed and this is 3\.\d+"):
        bootstrap.refuse_unfit_interpreter(version, "posix")


def test_the_supported_pythons_are_those_of_the_package(bootstrap: ModuleType) -> None:
    assert 'requires-python = ">=3.11,<3.14"' in (REPOSITORY / "pyproject.toml").read_text()
    assert (bootstrap.OLDEST_PYTHON, bootstrap.NEWEST_PYTHON) == ((3, 11), (3, 13))


def test_a_python_without_ensurepip_is_told_the_package_that_has_it(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What Debian ships without python3-venv: the module is not there.
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    monkeypatch.setattr(sys.modules["importlib.util"], "find_spec", lambda name: None if name == "ensurepip" else name)
    package = "python{}.{}-venv".format(*sys.version_info[:2])
    with pytest.raises(bootstrap.SetUpError, match=package):
        bootstrap.refuse_missing_modules()


def test_a_finished_set_up_hands_on_at_once_and_keeps_folder_arguments_and_exit_code(
    checkout: Path, bootstrap: ModuleType, tmp_path: Path
) -> None:
    make_complete(bootstrap)
    done = run(checkout, "generate", "--library", "data of mine", folder=tmp_path)
    assert done.stdout.splitlines() == [str(tmp_path), "generate", "--library", "data of mine"]
    assert (done.returncode, done.stderr) == (7, "")


def test_the_command_knows_how_its_user_started_it(checkout: Path, bootstrap: ModuleType, tmp_path: Path) -> None:
    make_complete(bootstrap)
    program = Path(bootstrap.CONSOLE_SCRIPT)
    program.write_text('#!/bin/sh\nprintf "%s" "$THUMB_PIPELINE_COMMAND"\n')
    done = run(checkout, "demo", folder=tmp_path)
    assert done.stdout == f"python3 '{checkout / 'run.py'}'"


@pytest.mark.parametrize(("option", "tier"), [([], "quick"), (["--all"], "daemon"), (["--long"], "long")])
def test_a_tier_of_the_tests_runs_in_the_checkout_on_all_cores(
    checkout: Path, bootstrap: ModuleType, tmp_path: Path, option: list[str], tier: str
) -> None:
    make_complete(bootstrap)
    folder, *command = run(checkout, "test", *option, folder=tmp_path).stdout.splitlines()
    assert folder == str(checkout)
    assert command[:2] == ["-m", "pytest"]
    assert command[command.index("-n") + 1] == str(len(os.sched_getaffinity(0)))
    assert command[-1] == f"--tier={tier}"  # as two words the second would be taken for a file


@pytest.mark.parametrize("arguments", [["-k", "names"], ["--all", "-x"]])
def test_arguments_for_the_tests_are_given_to_pytest_as_they_are(
    checkout: Path, bootstrap: ModuleType, tmp_path: Path, arguments: list[str]
) -> None:
    make_complete(bootstrap)
    done = run(checkout, "test", *arguments, folder=tmp_path)
    assert done.stdout.splitlines()[1:] == ["-m", "pytest", *arguments]


def test_the_runtime_alone_is_no_reason_to_look_at_development_pins(checkout: Path, bootstrap: ModuleType) -> None:
    make_complete(bootstrap)
    (checkout / "deploy/requirements/development.txt").write_text("changed")
    assert bootstrap.outdated(["runtime"]) == []
    assert bootstrap.outdated(["runtime", "development"]) == ["development"]


@pytest.mark.parametrize("file", ["deploy/requirements/runtime.txt", "pyproject.toml", "run.py"])
def test_a_change_of_what_decides_the_environment_installs_again(
    checkout: Path, bootstrap: ModuleType, file: str
) -> None:
    make_complete(bootstrap)
    (checkout / file).write_text((checkout / file).read_text() + "\n")
    assert bootstrap.outdated(["runtime", "development"]) == ["runtime", "development"]


def test_a_moved_checkout_is_noticed(checkout: Path, bootstrap: ModuleType, tmp_path: Path) -> None:
    make_complete(bootstrap)
    moved = loaded(checkout.rename(tmp_path / "moved"))
    assert not moved.is_ours()
    assert moved.outdated(["runtime"]) == ["runtime"]


def test_a_python_that_is_gone_is_noticed(bootstrap: ModuleType) -> None:
    make_complete(bootstrap)
    os.remove(bootstrap.PYTHON)
    os.symlink("/nowhere/python3", bootstrap.PYTHON)
    assert not bootstrap.is_ours()


def test_a_set_up_that_was_interrupted_is_not_finished(bootstrap: ModuleType) -> None:
    make_complete(bootstrap)
    Path(bootstrap._stamp("runtime")).write_text(bootstrap.UNFINISHED)
    assert bootstrap.outdated(["runtime"]) == ["runtime"]


def test_a_second_set_up_waits_for_the_first_and_says_so(checkout: Path, tmp_path: Path) -> None:
    with (checkout / "run.py").open("r+") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        command = [sys.executable, str(checkout / "run.py"), "stats"]
        second = subprocess.Popen(command, env={}, stderr=subprocess.PIPE, text=True)
        assert second.stderr is not None
        said = second.stderr.readline()
        second.kill()
        second.communicate()
    assert said == f"run.py: waiting: another run.py is setting up {checkout / '.venv'}\n"


def test_a_failed_step_shows_what_it_said_and_is_refused(checkout: Path, bootstrap: ModuleType, tmp_path: Path) -> None:
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text('#!/bin/sh\n[ "$1" = --version ] || { echo no route to host; exit 1; }\n')
    uv.chmod(0o755)
    done = run(checkout, "stats", folder=tmp_path, PATH=f"{uv.parent}:/usr/bin:/bin")
    assert done.returncode == bootstrap.REFUSED
    assert "no route to host" in done.stderr
    assert "run the same command again" in done.stderr
