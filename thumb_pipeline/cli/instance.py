"""Writes the Dagster instance file of a library: what its UI, daemon and commands share."""

import os

from thumb_pipeline.stages.library import Library, publish_durably

INSTANCE_SETTINGS = """\
# The Dagster instance of this library; thumb-pipeline writes this file. SQLite keeps runs and events beside it.
telemetry:
  enabled: false

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


def write_instance_file(library: Library) -> None:
    """Makes `<state>/dagster/dagster.yaml` what this version wants it to be."""
    path = os.path.join(library.dagster_home, "dagster.yaml")
    os.makedirs(library.dagster_home, exist_ok=True)
    try:
        with open(path, encoding="utf-8") as file:
            is_current = file.read() == INSTANCE_SETTINGS
    except FileNotFoundError:
        is_current = False
    if not is_current:
        publish_durably(os.fsencode(path), INSTANCE_SETTINGS.encode())
