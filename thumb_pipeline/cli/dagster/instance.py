"""Writes the Dagster files of a library: the instance that UI, daemon and commands share, and the code they load."""

import fcntl
import functools
import json
import os
import uuid
from importlib import resources

from thumb_pipeline.domain.layout import SETTINGS_NAME
from thumb_pipeline.domain.paths import inside
from thumb_pipeline.stages.library import run_database
from thumb_pipeline.stages.library.library import Library, publish_durably
from thumb_pipeline.stages.library.refused import Refused


class InstanceUnusable(Exception):
    """Dagster's own records cannot be read or written; the message says what to check."""


@functools.cache
def instance_settings() -> str:
    """The settings of every library's Dagster instance, all but the storage: the text of `instance.yaml`."""
    return (resources.files(__package__) / "instance.yaml").read_text(encoding="utf-8")


POSTGRES_STORAGE = f"""\
storage:
  postgres:
    postgres_url:
      env: {run_database.POSTGRES_VARIABLE}

"""
"""Keeps runs, events and schedules in the database that the environment names; else SQLite keeps them beside the file.

It holds the variable's name, never the address, because Dagster repeats this text on its code servers' command lines.
"""


LOCATION = "thumb_pipeline"
"""The name of our code location in Dagster."""

WORKSPACE = f"""\
# What the UI and the daemon of this library load; thumb-pipeline writes this file.
load_from:
  - python_module:
      module_name: thumb_pipeline.definitions
      location_name: {LOCATION}
"""


_SQLITE_PATH_BYTES = 504
"""SQLite allows 512 bytes for the path of a file, and needs eight of them for the suffix of its journal."""


def refuse_long_path(library: Library) -> None:
    """Refuses a path that is too long for SQLite before a command changes anything; SQLite's own error hides the cause.

    Raises:
        Refused: SQLite keeps the runs, and could not open a run's file in the state folder.
    """
    if run_database.read_address() is not None:
        return
    run_file = inside(library.dagster_home, "history", "runs", f"{uuid.UUID(int=0)}.db")
    n_over = len(os.fsencode(run_file)) - _SQLITE_PATH_BYTES
    if n_over > 0:
        n_bytes = len(os.fsencode(library.state))
        raise Refused(
            f"the path of the state folder is too long for SQLite, which keeps the runs there: {library.state} has "
            f"{n_bytes:,} bytes of at most {n_bytes - n_over:,}. Name a folder with a shorter path as storage.state in "
            f"{inside(library.root, SETTINGS_NAME)}, or move the library; with PostgreSQL any length will do"
        )


def settle_run_database(library: Library) -> None:
    """Checks that the database of the runs can be used, before a command changes anything.

    Raises:
        Refused: it cannot be used, it is another library's, or a running `up` works with another one.
    """
    refuse_long_path(library)
    if run_database.read_address() is not None and _is_served_from_sqlite(library):
        raise Refused(
            f"up serves {library.root} with its runs in SQLite, and {run_database.POSTGRES_VARIABLE} is set here; "
            "stop up and start it with that variable, or unset it here"
        )
    _settle(library)


def _settle(library: Library) -> bool:
    """Whether PostgreSQL keeps the runs; if so, claims the database and tells our processes its address."""
    address = run_database.read_address()
    if address is None:
        if _is_on_postgres(library):
            raise Refused(
                f"PostgreSQL keeps the runs of {library.root}; set {run_database.POSTGRES_VARIABLE} to its address. "
                f"To go back to SQLite: stop up, then rm {_settings_file(library)}"
            )
        return False
    run_database.claim(library, address)
    os.environ[run_database.POSTGRES_VARIABLE] = run_database.driver_address(address)
    return True


def write_instance_files(library: Library) -> None:
    """Writes `<state>/dagster/dagster.yaml` and `workspace.yaml` as this version needs them.

    Raises:
        Refused: the state folder cannot be written, or the database of the runs cannot be used.
    """
    refuse_long_path(library)
    library.claim_state()
    try:
        os.makedirs(library.dagster_home, exist_ok=True)
    except OSError as error:
        raise library.state_refused(error) from error
    os.makedirs(command_home(library), exist_ok=True)
    on_postgres = _settle(library)
    storage = POSTGRES_STORAGE if on_postgres else ""
    _write(_settings_file(library), storage + instance_settings())
    _write(inside(command_home(library), "dagster.yaml"), _command_settings(library, storage))
    _write(workspace_file(library), WORKSPACE)


def command_home(library: Library) -> str:
    """The folder from which commands open the instance: the same storage, but output stays on the terminal."""
    return inside(library.dagster_home, "command")


def _command_settings(library: Library, storage: str) -> str:
    """The instance settings for commands, without the capture of logs.

    With it, Dagster would redirect a command's own output into files, and leave behind the processes that copy it back.
    """
    home = json.dumps(library.dagster_home)  # a JSON string is a YAML string, whatever is in the path
    storage = storage or f"storage:\n  sqlite:\n    base_dir: {home}\n\n"
    return f"""\
{storage}local_artifact_storage:
  module: dagster.core.storage.root
  class: LocalArtifactStorage
  config:
    base_dir: {home}

compute_logs:
  module: dagster.core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager

{instance_settings()}"""


def up_lock(library: Library) -> str:
    """The path of the file that a running `up` holds locked."""
    return inside(library.dagster_home, "up.lock")


def workspace_file(library: Library) -> str:
    """The path of the file that says what code to load."""
    return inside(library.dagster_home, "workspace.yaml")


def _settings_file(library: Library) -> str:
    return inside(library.dagster_home, "dagster.yaml")


def _is_on_postgres(library: Library) -> bool:
    """Whether the last command kept its runs in PostgreSQL."""
    try:
        with open(_settings_file(library), "rb") as file:
            return file.read().startswith(POSTGRES_STORAGE.encode())
    except OSError:
        return False


def _is_served_from_sqlite(library: Library) -> bool:
    """Whether an `up` is running that was started without a PostgreSQL database."""
    try:
        with open(up_lock(library), encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return not _is_on_postgres(library)
    return False


def _write(path: str, text: str) -> None:
    try:
        with open(path, "rb") as file:
            is_current = file.read() == text.encode()
    except FileNotFoundError:
        is_current = False
    if not is_current:
        publish_durably(os.fsencode(path), text.encode())
