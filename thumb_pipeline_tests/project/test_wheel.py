"""The package as a wheel: built without a network, complete, and usable without the checkout."""

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email import message_from_string
from email.message import Message
from pathlib import Path

import pytest

from thumb_pipeline import __version__

REPOSITORY = Path(__file__).parents[2]
DIST_INFO = f"thumb_pipeline-{__version__}.dist-info"

# The build backend works on the current folder, which is the whole process's: hence a process of its own.
BUILD = "import sys; from flit_core import buildapi; buildapi.build_wheel(sys.argv[1])"

pytestmark = pytest.mark.daemon


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-c", BUILD, str(folder)]
    done = subprocess.run(command, check=False, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as built:
        yield built


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    return message_from_string(wheel.read(f"{DIST_INFO}/METADATA").decode())


def test_the_wheel_holds_every_module_of_the_package(wheel: zipfile.ZipFile) -> None:
    modules = {str(file.relative_to(REPOSITORY)) for file in (REPOSITORY / "thumb_pipeline").rglob("*.py")}
    assert modules - set(wheel.namelist()) == set()


def test_the_wheel_says_that_it_is_typed(wheel: zipfile.ZipFile) -> None:
    assert "thumb_pipeline/py.typed" in wheel.namelist()


def test_the_wheel_holds_nothing_but_the_package_and_its_metadata(wheel: zipfile.ZipFile) -> None:
    assert {name.partition("/")[0] for name in wheel.namelist()} == {"thumb_pipeline", DIST_INFO}
    assert [name for name in wheel.namelist() if "__pycache__" in name] == []


def test_the_wheel_carries_its_licence(wheel: zipfile.ZipFile, metadata: Message) -> None:
    assert metadata["License-Expression"] == "Apache-2.0"
    assert wheel.read(f"{DIST_INFO}/licenses/LICENSE") == (REPOSITORY / "LICENSE").read_bytes()


def test_the_wheel_names_the_version_of_the_package(metadata: Message) -> None:
    assert metadata["Version"] == __version__


def test_the_wheel_installs_the_command(wheel: zipfile.ZipFile) -> None:
    assert b"thumb-pipeline=thumb_pipeline.cli:main" in wheel.read(f"{DIST_INFO}/entry_points.txt")


def test_the_definitions_load_from_the_wheel_alone(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)
    code = "import thumb_pipeline.definitions as found; found.defs(); print(found.__file__)"
    command = [sys.executable, "-c", code]
    environment = {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, check=False, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path))
