"""Measures what forgetting old runs costs a night, in seconds.

    .venv/bin/python benchmarks/kept_runs.py [--runs 10000] [--timelapses 5000] [--postgres URL]

All runs are old and finished: the first ones materialized every timelapse once, each later one two of the first
hundred. So most can go, and those that hold the latest materialization of a timelapse stay.
"""

import argparse
import os
import tempfile
import time
import uuid

import dagster as dg
from dagster._core.events import StepMaterializationData

from thumb_pipeline.cli.dagster.runs import instance_of
from thumb_pipeline.defs.jobs import forget_runs
from thumb_pipeline.stages.library.open import initialise, open_library
from thumb_pipeline.stages.library.run_database import POSTGRES_VARIABLE

ASSETS = ("image_inventory", "missing_thumbnails", "thumbnails")
SHEET = "x" * 15_000
AT_ONCE = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--timelapses", type=int, default=5_000)
    parser.add_argument("--postgres", default="", help="address of an empty database; else SQLite")
    chosen = parser.parse_args()
    if chosen.postgres:
        os.environ[POSTGRES_VARIABLE] = chosen.postgres
    with tempfile.TemporaryDirectory() as scratch:
        initialise(scratch)
        library = open_library(scratch)
        with instance_of(library) as instance:
            keys = [f"camera-{n // 50}/timelapse-{n}" for n in range(chosen.timelapses)]
            instance.add_dynamic_partitions("timelapse", keys)
            began = time.monotonic()
            for first in range(0, len(keys), AT_ONCE):
                add_run(instance, keys[first : first + AT_ONCE])
            for number in range(chosen.runs - len(keys) // AT_ONCE):
                add_run(instance, [keys[number % 100], keys[(number + 50) % 100]])
            print(f"{chosen.runs:,} runs over {len(keys):,} timelapses written in {time.monotonic() - began:.0f} s")
            before_s = time.time() + 1
            began = time.monotonic()
            needed = forget_runs.needed_runs(instance, library, before_s)
            print(f"which runs must stay ({len(needed):,}): {time.monotonic() - began:.1f} s", flush=True)
            began = time.monotonic()
            done = forget_runs.forget(instance, library, now_s=before_s + 90 * 86_400, most_s=900.0)
            took_s = time.monotonic() - began
            each_ms = 1000 * took_s / max(1, done["forgotten"])
            print(f"{done}: {took_s:.1f} s, {each_ms:.1f} ms a run", flush=True)
            began = time.monotonic()
            again = forget_runs.forget(instance, library, now_s=before_s + 90 * 86_400, most_s=900.0)
            print(f"once more, {again}: {time.monotonic() - began:.1f} s")


def add_run(instance: dg.DagsterInstance, keys: list[str]) -> None:
    """A finished run that materialized some timelapses."""
    run = dg.DagsterRun(job_name="generate", run_id=str(uuid.uuid4()), status=dg.DagsterRunStatus.SUCCESS)
    instance.add_run(run)
    events = []
    for key in keys:
        for asset in ASSETS:
            metadata = {"sheet": dg.MetadataValue.md(SHEET)} if asset == "thumbnails" else {}
            made = dg.AssetMaterialization(asset, partition=key, metadata=metadata)
            event = dg.DagsterEvent(
                event_type_value=dg.DagsterEventType.ASSET_MATERIALIZATION.value,
                job_name=run.job_name,
                event_specific_data=StepMaterializationData(made),
            )
            events.append(
                dg.EventLogEntry(
                    error_info=None,
                    user_message="",
                    level=20,
                    run_id=run.run_id,
                    timestamp=time.time(),
                    dagster_event=event,
                )
            )
    instance.event_log_storage.store_event_batch(events)


if __name__ == "__main__":
    main()
