"""Writes the Dagster files of a library: what its UI, daemon and commands share, and what code they load."""

import json
import os

from thumb_pipeline.stages.library import Library, Refused, publish_durably


class InstanceUnusable(Exception):
    """Dagster's own records cannot be read or written; the message says what to check."""


INSTANCE_SETTINGS = """\
# The Dagster instance of this library; thumb-pipeline writes this file. SQLite keeps runs and events beside it.
telemetry:
  enabled: false

run_coordinator:
  module: dagster.core.run_coordinator
  class: QueuedRunCoordinator
  config:
    # New captures wait for this; the default is five seconds.
    dequeue_interval_seconds: 1

sensors:
  # A sensor watches for up to 25 s in one tick: others must not wait for it.
  use_threads: true
  num_workers: 4

schedules:
  use_threads: true
  num_workers: 4

concurrency:
  runs:
    max_concurrent_runs: 4
  pools:
    # A rendering run keeps all cores busy; a second one keeps them so while the first starts or ends. Counted by run:
    # slots of single ops stay taken when a process is killed.
    default_limit: 2
    granularity: run

run_monitoring:
  enabled: true
  poll_interval_seconds: 30

run_retries:
  enabled: true
  max_retries: 1

retention:
  schedule:
    purge_after_days: 30
  sensor:
    purge_after_days:
      skipped: 3
      failure: 30
      success: 30

nux:
  enabled: false
"""


WORKSPACE = """\
# What the UI and the daemon of this library load; thumb-pipeline writes this file.
load_from:
  - python_module:
      module_name: thumb_pipeline.definitions
      location_name: thumb_pipeline
"""


def write_instance_files(library: Library) -> None:
    """Makes `<state>/dagster/dagster.yaml` and `workspace.yaml` what this version wants them to be.

    Raises:
        Refused: the state folder cannot be written.
    """
    try:
        os.makedirs(library.dagster_home, exist_ok=True)
    except OSError as error:
        raise Refused(
            f"{library.state} cannot be written ({error.strerror}); let this user write there, "
            "or name another folder as storage.state in thumbs.toml"
        ) from error
    os.makedirs(command_home(library), exist_ok=True)
    _write(os.path.join(library.dagster_home, "dagster.yaml"), INSTANCE_SETTINGS)
    _write(os.path.join(command_home(library), "dagster.yaml"), _command_settings(library))
    _write(workspace_file(library), WORKSPACE)


def command_home(library: Library) -> str:
    """The folder from which commands open the instance: the same storage, but their output stays on the terminal."""
    return os.path.join(library.dagster_home, "command")


def _command_settings(library: Library) -> str:
    """Dagster would redirect a command's own output into files, and leave the processes that copy it back behind."""
    home = json.dumps(library.dagster_home)  # a JSON string is a YAML string, whatever the path is made of
    return f"""\
storage:
  sqlite:
    base_dir: {home}

local_artifact_storage:
  module: dagster.core.storage.root
  class: LocalArtifactStorage
  config:
    base_dir: {home}

compute_logs:
  module: dagster.core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager

{INSTANCE_SETTINGS}"""


def workspace_file(library: Library) -> str:
    """The path of the file that says what code to load."""
    return os.path.join(library.dagster_home, "workspace.yaml")


def _write(path: str, text: str) -> None:
    try:
        with open(path, encoding="utf-8") as file:
            is_current = file.read() == text
    except FileNotFoundError:
        is_current = False
    if not is_current:
        publish_durably(os.fsencode(path), text.encode())
