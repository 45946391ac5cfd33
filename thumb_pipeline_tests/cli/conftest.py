"""The console script as a user runs it, on libraries of small generated frames."""

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from PIL import Image

from thumb_pipeline.cli.dagster.runs import instance_of
from thumb_pipeline.stages.library.open import initialise, open_library
from thumb_pipeline.stages.library.run_database import POSTGRES_VARIABLE, driver_address, read_address
from thumb_pipeline_tests.cli.command_server import CommandServer
from thumb_pipeline_tests.conftest import STORAGES, is_long

QUICK_DAEMON = str(Path(__file__).parents[1] / "quick_daemon")
COMMAND = str(Path(sys.executable).with_name("thumb-pipeline"))


@dataclass(frozen=True)
class Ended:
    """A finished command: exit code, its JSON document (or what it printed), what it said on the way."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ended]


@pytest.fixture(scope="session")
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Runs `thumb-pipeline ARGS` to its end."""
    server = CommandServer(COMMAND, clean_environment())
    starts_all = is_long(request.config)

    def run_command(*args: object, cwd: Path | None = None) -> Ended:
        arguments, environment = [os.fsencode(str(argument)) for argument in args], clean_environment()
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, open(os.devnull, "rb") as nothing:
            if starts_all or not server.can_run(environment):
                command = [os.fsencode(COMMAND), *arguments]
                ended = subprocess.run(
                    command, stdin=nothing, stdout=out, stderr=err, env=environment, cwd=cwd, timeout=300, check=False
                )
                code = ended.returncode
            else:
                code = server.run(arguments, environment, cwd, [f.fileno() for f in (nothing, out, err)], timeout_s=300)
            out.seek(0)
            err.seek(0)
            return Ended(code, out.read().decode(), err.read().decode())

    yield run_command
    server.close()


def first_port(base: int) -> int:
    """Where an `up` may look for a free port: two processes of tests that look at once would find the same one."""
    return base + 1000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])


def clean_environment() -> dict[str, str]:
    """The environment without anything that would choose a library or an instance, but for a test's own database.

    A daemon in it is quick, unless something else is to be on Python's path.
    """
    ours = ("DAGSTER", "THUMB_PIPELINE")
    kept = {k: v for k, v in os.environ.items() if k == POSTGRES_VARIABLE or not k.startswith(ours)}
    return {"PYTHONPATH": QUICK_DAEMON, **kept}


def dagster_environment() -> dict[str, str]:
    """The same for Dagster's own programs, which need the driver named in the address."""
    address = read_address()
    return clean_environment() | ({} if address is None else {POSTGRES_VARIABLE: driver_address(address)})


def jpeg(size: tuple[int, int] = (320, 240), color: tuple[int, int, int] = (200, 80, 40)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, "JPEG")
    return buffer.getvalue()


class Archive:
    """A library's folder and ways to do to it what cameras and operators do."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def frames(self, key: str = "camera-1/timelapse-1") -> Path:
        return self.root / "cameras" / key / "frames"

    def add(self, name: str, data: bytes | None = None, key: str = "camera-1/timelapse-1") -> Path:
        path = self.frames(key) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(color=(len(name) * 7 % 256, sum(name.encode()) % 256, 90)) if data is None else data)
        return path

    def fill(self, count: int, key: str = "camera-1/timelapse-1") -> None:
        number = key.rsplit("-", 1)[1]
        for index in range(count):
            self.add(f"timelapse-{number}_20250422_{index // 60:02d}{index % 60:02d}00.jpg", key=key)

    def variants(self) -> dict[str, bytes]:
        """Every file in a variant folder, by its path in the library."""
        found = [path for folder in ("thumbnails", "smalls") for path in self.root.glob(f"cameras/*/*/{folder}/*")]
        published = [path for path in found if not path.name.startswith(".tp-")]
        return {str(path.relative_to(self.root)): path.read_bytes() for path in published}

    def leftovers(self) -> list[Path]:
        """Unfinished files anywhere below the library, its state included."""
        return list(self.root.rglob(".tp-*")) + list(self.root.rglob("*.lease"))


def variants_of(frame: Path) -> list[Path]:
    """Both variants of a frame whose name is its own."""
    top = frame.parents[1]
    return [top / "thumbnails" / f"{frame.name}_thumb.jpg", top / "smalls" / f"{frame.name}_small.jpg"]


def is_rendered(frame: Path) -> bool:
    return all(variant.exists() for variant in variants_of(frame))


def is_remembered(archive: Archive) -> bool:
    """Whether the watcher has noted that everything is rendered and recorded."""
    memory = archive.root / ".thumb_pipeline" / "watch" / "folders.json"
    return memory.exists() and bool(json.loads(memory.read_text())["folders"])


def copied(template: Archive, root: Path) -> Archive:
    """A library as another one is: frames and variants are links, the records are its own, and no run is known."""
    shutil.copytree(template.root, root, copy_function=_linked_or_copied)
    shutil.rmtree(root / ".thumb_pipeline" / "dagster")
    return Archive(root)


def _linked_or_copied(source: str, target: str) -> None:
    os.link(source, target) if "/cameras/" in source else shutil.copy2(source, target)


@contextmanager
def dagster_instance(archive: Archive) -> Iterator[dg.DagsterInstance]:
    """The library's own instance, wherever its runs are kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(POSTGRES_VARIABLE, dagster_environment().get(POSTGRES_VARIABLE, ""))
        with dg.DagsterInstance.from_config(str(archive.root / ".thumb_pipeline" / "dagster")) as instance:
            yield instance


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Chooses what keeps the runs of an `up` that the tests of a module share: one, or both with `--tier long`."""
    chosen_by_test = any(mark.args[0] == "shared_storage" for mark in metafunc.definition.iter_markers("parametrize"))
    if "shared_storage" in metafunc.fixturenames and not chosen_by_test:
        one = getattr(metafunc.module, "SHARED_STORAGE")  # noqa: B009 -- each such module has it
        metafunc.parametrize(
            "shared_storage", STORAGES if is_long(metafunc.config) else [one], indirect=True, scope="module"
        )


@pytest.fixture(scope="module")
def shared_storage(request: pytest.FixtureRequest) -> str:
    """The address of the database of an `up` that several tests share; empty where that is SQLite."""
    if request.param == "sqlite":
        return ""
    return str(request.getfixturevalue("postgres").fresh(request.getfixturevalue("dagster_tables")))


@pytest.fixture
def on_shared_storage(shared_storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands of this test find the runs of the `up` that it shares."""
    monkeypatch.setenv(POSTGRES_VARIABLE, shared_storage)


@contextmanager
def environment_of(shared_storage: str) -> Iterator[None]:
    """For the start of such an `up`: it takes the address over, and other tests run meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(POSTGRES_VARIABLE, shared_storage)
        yield


@pytest.fixture
def true_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Daemons wait as long as Dagster makes them."""
    monkeypatch.setenv("PYTHONPATH", "")


@pytest.fixture(scope="session")
def dagster_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with Dagster's empty tables in SQLite: copying them costs a quarter of making them."""
    library = open_library(initialised(tmp_path_factory.mktemp("dagster") / "library"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(POSTGRES_VARIABLE, "")
        patch.setenv("DAGSTER_HOME", "")
        with instance_of(library):
            pass
    return Path(library.dagster_home)


@pytest.fixture
def archive(tmp_path: Path, dagster_files: Path, request: pytest.FixtureRequest) -> Archive:
    """An initialised, empty library, with the tables that the first command with a run would make in SQLite."""
    root = Path(initialised(tmp_path / "library"))
    for folder in ("history", "schedules") if "postgres" not in request.fixturenames else ():
        shutil.copytree(dagster_files / folder, root / ".thumb_pipeline" / "dagster" / folder)
    return Archive(root)


@pytest.fixture
def restless(archive: Archive) -> Archive:
    """A library whose captures run does not stay."""
    let_captures_runs_end(archive.root)
    return archive


def let_captures_runs_end(root: Path, *, linger_s: float = 1.0) -> None:
    """From now on a run for captures ends so many seconds after the last frame, instead of waiting for the next."""
    settings = root / "thumbs.toml"
    text = settings.read_text().replace("linger_s = 30.0", f"linger_s = {linger_s}")
    settings.write_text(text.replace("keep_warm = true", "keep_warm = false"))


def initialised(root: Path) -> str:
    """What `thumb-pipeline init` makes of a folder."""
    initialise(str(root))
    return str(root)
