"""Commands and `up` with their runs in a real PostgreSQL: whose database it is, and what happens when it goes away."""

import fcntl
import glob
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from thumb_pipeline.stages.library.run_database import POSTGRES_VARIABLE
from thumb_pipeline_tests.cli.conftest import (
    COMMAND,
    Archive,
    Ended,
    Run,
    clean_environment,
    dagster_environment,
    first_port,
    jpeg,
)
from thumb_pipeline_tests.cli.page import asked, launch, statuses
from thumb_pipeline_tests.cli.served import up
from thumb_pipeline_tests.postgres import Postgres

pytestmark = pytest.mark.daemon

REPOSITORY = Path(__file__).parents[2]

UNDER_WAY = ("STARTING", "STARTED")

Generate = Callable[..., Ended]


@pytest.fixture
def generate(run: Run, archive: Archive) -> Generate:
    return lambda *options: run("generate", "--library", archive.root, "--json", *options)


def state(archive: Archive) -> Path:
    return archive.root / ".thumb_pipeline"


# Whose database it is


def test_runs_go_to_the_named_database_and_nowhere_else(
    archive: Archive, generate: Generate, on_postgres: str, postgres: Postgres
) -> None:
    archive.fill(2)
    done = generate()
    assert done.code == 0, done.err
    name = on_postgres.rpartition("/")[2]
    [(run_id, status)] = postgres.rows("SELECT run_id, status FROM runs", name)
    assert ([run_id], status) == (done.json["run_ids"], "SUCCESS")
    assert not list(state(archive).rglob("*.db"))
    assert postgres.password not in "".join(file.read_text() for file in state(archive).rglob("*.yaml"))


def test_another_library_is_refused_before_anything_is_changed(
    archive: Archive, generate: Generate, run: Run, on_postgres: str, postgres: Postgres, tmp_path: Path
) -> None:
    archive.fill(1)
    assert generate().code == 0
    other = Archive(tmp_path / "other")
    run("init", other.root)
    other.fill(1)
    for command in ("generate", "up"):
        refused = run(command, "--library", other.root)
        assert refused.code == 2
        assert f"another library, whose state is in {state(archive)}" in refused.err
        assert postgres.password not in refused.err
    assert other.variants() == {}
    assert not (state(other) / "datasets").exists()


@pytest.mark.usefixtures("on_postgres")
def test_a_copy_of_the_library_is_refused_and_a_moved_one_is_not(
    archive: Archive, generate: Generate, run: Run, tmp_path: Path
) -> None:
    archive.fill(1)
    assert generate().code == 0
    shutil.copytree(archive.root, tmp_path / "copy")
    refused = run("generate", "--library", tmp_path / "copy")
    assert refused.code == 2
    assert "is a copy of that" in refused.err
    shutil.rmtree(tmp_path / "copy")
    archive.root.rename(tmp_path / "moved")
    moved = run("generate", "--library", tmp_path / "moved", "--force", "--json")
    assert (moved.code, moved.json["rendered"]) == (0, 2), moved.err


@pytest.mark.usefixtures("on_postgres")
def test_a_lost_state_folder_is_refused_with_a_remedy_that_works(archive: Archive, generate: Generate) -> None:
    archive.fill(1)
    generate()
    shutil.rmtree(state(archive))
    refused = generate()
    assert refused.code == 2
    remedy = refused.err[refused.err.index("echo ") :]
    subprocess.run(remedy, shell=True, check=True)
    assert generate().json["adopted"] == 2


def test_a_forgotten_variable_is_refused_and_sqlite_is_one_deletion_away(
    archive: Archive, generate: Generate, on_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.fill(1)
    assert generate().code == 0
    monkeypatch.delenv(POSTGRES_VARIABLE)
    refused = generate("--force")
    assert refused.code == 2
    assert f"set {POSTGRES_VARIABLE}" in refused.err
    (state(archive) / "dagster/dagster.yaml").unlink()
    assert generate("--force").json["rendered"] == 2
    assert list(state(archive).rglob("runs.db"))


def test_the_storage_never_changes_below_a_running_up(
    archive: Archive, generate: Generate, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.fill(1)
    assert generate().code == 0
    monkeypatch.setenv(POSTGRES_VARIABLE, database)
    with (state(archive) / "dagster/up.lock").open("w") as held:  # what a running `up` holds
        fcntl.flock(held, fcntl.LOCK_EX)
        refused = generate("--force")
    assert refused.code == 2
    assert "with its runs in SQLite" in refused.err
    assert generate("--force").code == 0


@pytest.mark.parametrize("command", ["generate", "up"])
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("@127.0.0.1:", "5@127.0.0.1:"), "password authentication failed"),
        (("/test_", "/no_test_"), "does not exist"),
        (("@127.0.0.1:", "@127.0.0.1:1"), "check that PostgreSQL runs there"),
        (("@127.0.0.1:", "@pass@127.0.0.1:"), "is no address of the form"),
    ],
    ids=["password", "database", "port", "address"],
)
def test_a_database_that_cannot_be_used_is_refused_with_what_to_check(
    archive: Archive,
    run: Run,
    database: str,
    postgres: Postgres,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    wrong: tuple[str, str],
    said: str,
) -> None:
    archive.fill(1)
    monkeypatch.setenv(POSTGRES_VARIABLE, database.replace(*wrong))
    refused = run(command, "--library", archive.root)
    assert refused.code == 2, refused.err
    assert said in refused.err
    assert POSTGRES_VARIABLE in refused.err
    assert postgres.password not in refused.err
    assert archive.variants() == {}


# When it goes away


def test_a_command_that_loses_the_database_keeps_its_work_and_the_next_goes_on(
    archive: Archive, generate: Generate, on_postgres: str, postgres: Postgres
) -> None:
    n_frames = fill_with_work(archive, 100)
    name = on_postgres.rpartition("/")[2]
    command = [COMMAND, "generate", "--library", str(archive.root)]
    process = subprocess.Popen(command, env=clean_environment(), stderr=subprocess.PIPE)
    wait_for_variants(archive, 10)
    postgres.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")  # as a fail-over does
    said = process.communicate(timeout=120)[1].decode()
    assert process.returncode == 3, said
    assert "read-only transaction" in said
    assert "then run the same command again" in said
    assert postgres.password not in said
    assert len(archive.variants()) == 2 * n_frames
    assert generate().code == 2  # as long as nothing can be recorded

    postgres.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    again = generate("--force", "--source", "timelapse-1_20250422_000000.jpg")
    assert (again.code, again.json["rendered"]) == (0, 2), again.err
    assert sorted(postgres.rows("SELECT status FROM runs", name)) == [("FAILURE",), ("SUCCESS",)]


def test_a_run_of_the_daemon_survives_a_restart_of_the_database_and_nothing_is_lost(
    archive: Archive, own_postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(POSTGRES_VARIABLE, own_postgres.fresh())
    n_frames = fill_with_work(archive, 200)
    with up(archive) as page:
        url = page.url
        run_id = launch(url, "generate")
        wait_for_variants(archive, 20)
        assert_no_process_shows(own_postgres.password)
        assert own_postgres.password not in str(asked(url, "{ instance { info } }"))
        own_postgres.crash()
        time.sleep(1)
        own_postgres.start()
        statuses = wait_for_the_end_of_runs(url)
        assert page.process.poll() is None  # the services outlived it
    assert statuses[-1] == "SUCCESS"
    assert set(statuses[:-1]) <= {"FAILURE"}
    assert len(archive.variants()) == 2 * n_frames
    assert archive.leftovers() == []
    events = own_postgres.rows(f"SELECT count(*) FROM event_logs WHERE run_id = '{run_id}'", own_postgres.newest)
    assert events > [(0,)]
    assert own_postgres.password not in (state(archive) / "up.log").read_text()


@pytest.mark.long  # after a long outage Dagster takes minutes to give up a run it lost
def test_nothing_is_lost_in_a_longer_outage(
    archive: Archive, own_postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(POSTGRES_VARIABLE, own_postgres.fresh())
    n_frames = fill_with_work(archive, 40)
    with up(archive) as page:
        url = page.url
        launch(url, "generate")
        wait_for_variants(archive, 5)
        own_postgres.crash()
        time.sleep(_PATIENCE_S)
        own_postgres.start()
        archive.add("late.jpg", jpeg((1920, 1080)))
        wait_for_variants(archive, n_frames + 1)
        assert page.process.poll() is None
    assert len(archive.variants()) >= 2 * n_frames + 1


# Without `up`


@pytest.mark.usefixtures("on_postgres")
def test_dagsters_own_services_work_with_the_instance_file_of_deploy(
    archive: Archive, generate: Generate, tmp_path: Path
) -> None:
    settings = archive.root / "thumbs.toml"
    settings.write_text(settings.read_text().replace("keep_warm = true", "keep_warm = false"))
    fill_with_work(archive, 60)
    assert generate().code == 0  # as docs/postgres.md says: the tables, and the workspace file
    with own_services(archive, tmp_path / "dagster-home") as url:
        archive.add("new.jpg", jpeg())
        wait_for_variants(archive, 61)
        for _ in range(4):
            launch(url, "generate", {"take_order": {"force": True}})
        seen = statuses_until_the_end(url, 4)
    assert max(sum(status in UNDER_WAY for status in statuses) for statuses in seen) == 2
    assert any(statuses.count("QUEUED") for statuses in seen)
    assert seen[-1] == ["SUCCESS"] * 4


@contextmanager
def own_services(archive: Archive, home: Path) -> Iterator[str]:
    """Dagster's daemon and the guarded page, started by hand as docs/postgres.md says; the address of the page."""
    home.mkdir()
    shutil.copy(REPOSITORY / "deploy/postgres/dagster.yaml", home)
    environment = {
        **dagster_environment(),
        "DAGSTER_HOME": str(home),
        "THUMB_PIPELINE_LIBRARY": str(archive.root),
    }
    workspace = ["-w", str(state(archive) / "dagster/workspace.yaml")]
    port = str(free_port(first_port(3150)))
    page = ["-m", "thumb_pipeline.cli.dagster.page", "-h", "127.0.0.1", "-p", port]
    commands = [[str(Path(COMMAND).with_name("dagster-daemon")), "run"], [sys.executable, *page]]
    with (home / "log").open("wb") as log:
        services = [
            subprocess.Popen(
                [*command, *workspace],
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            for command in commands
        ]
    try:
        wait_for_page(url := f"http://127.0.0.1:{port}")
        yield url
        assert [service.poll() for service in services] == [None, None], (home / "log").read_text()
    finally:
        for service in services:
            service.send_signal(signal.SIGTERM)
        for service in services:
            service.wait(60)  # a tick of the sensor takes up to 25 s
            with suppress(ProcessLookupError):
                os.killpg(service.pid, signal.SIGKILL)  # a code server whose database goes first never ends


def free_port(first: int) -> int:
    """A port that nobody listens on, from this one upwards."""
    for port in range(first, first + 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")


def wait_for_page(url: str) -> None:
    deadline = time.monotonic() + 120
    while True:
        with suppress(OSError):
            urllib.request.urlopen(f"{url}/server_info", timeout=5).close()
            return
        assert time.monotonic() < deadline
        time.sleep(0.2)


def statuses_until_the_end(url: str, count: int) -> list[list[str]]:
    """The statuses of the newest runs of `generate`, again and again until all have ended."""
    deadline = time.monotonic() + 300
    seen: list[list[str]] = []
    while not seen or not set(seen[-1]) <= {"SUCCESS", "FAILURE", "CANCELED"}:
        assert time.monotonic() < deadline, seen[-1]
        seen.append(statuses(url, job="generate")[:count])
        time.sleep(0.1)
    return seen


_PATIENCE_S = 25.0  # Dagster tries to connect again for 11 s, by chance up to twice as long


def fill_with_work(archive: Archive, count: int) -> int:
    frame = jpeg((1920, 1080))
    for index in range(count):
        archive.add(f"timelapse-1_20250422_{index:06d}.jpg", frame)
    return count


def wait_for_variants(archive: Archive, count: int) -> None:
    deadline = time.monotonic() + 600
    while len([path for path in archive.root.glob("cameras/*/*/thumbnails/*") if path.name[0] != "."]) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def wait_for_the_end_of_runs(url: str) -> list[str]:
    """The statuses of the runs of `generate`, oldest first, once the newest has succeeded."""
    deadline = time.monotonic() + 120
    found: list[str] = []
    while found[-1:] != ["SUCCESS"]:
        assert time.monotonic() < deadline, found
        time.sleep(0.5)
        with suppress(urllib.error.HTTPError):  # the first query after a crash meets the connection that was cut
            found = statuses(url, job="generate")[::-1]
    return found


def assert_no_process_shows(password: str) -> None:
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        with suppress(OSError):
            assert password not in os.fsdecode(Path(path).read_bytes())
