"""A library, its own instance on each kind of storage, and what runs in it say."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from thumb_pipeline.cli.dagster.runs import instance_of
from thumb_pipeline.definitions import build_definitions
from thumb_pipeline.defs import sensors
from thumb_pipeline.defs.resources import LibraryResource
from thumb_pipeline.stages.library.open import open_library
from thumb_pipeline.stages.library.run_database import POSTGRES_VARIABLE
from thumb_pipeline_tests.stages.archives import Archive

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
NIGHT = datetime(2030, 1, 2, 2, 30, tzinfo=UTC)
KEYS = ("camera-1/timelapse-1", "camera-1/timelapse-2", "camera-2/timelapse-3")


@dataclass(frozen=True)
class Located:
    """A library, a Dagster instance, and the code location between them."""

    archive: Archive
    instance: dg.DagsterInstance

    def job(self, name: str, *, success: bool = True, **config: Any) -> dg.ExecuteInProcessResult:
        """Runs a job of one configured op."""
        op = {"generate": "take_order", "verify": "verify_timelapses", "purge": "purge_variants"}[name]
        found = self._definitions.resolve_job_def(name).execute_in_process(
            instance=self.instance, run_config={**QUIET, "ops": {op: {"config": config}}}, raise_on_error=False
        )
        assert found.success == success
        return found

    def materialize(self, *assets: str, success: bool = True, **options: Any) -> dg.ExecuteInProcessResult:
        """Materializes assets; `partition_key` or `tags` say of which timelapses."""
        found = self._definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=self.instance,
            asset_selection=[dg.AssetKey(name) for name in assets],
            run_config=QUIET,
            raise_on_error=False,
            **options,
        )
        assert found.success == success
        return found

    def red(self) -> set[str]:
        """The checks that the instance shows as failed; every one of them was evaluated."""
        node = self._definitions.resolve_asset_graph()
        keys = sorted(node.asset_check_keys, key=str)
        found = self.instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
        assert set(found) == set(keys)
        assert {record.status.value for record in found.values()} <= {"SUCCEEDED", "FAILED"}
        return {key.name for key, record in found.items() if record.status.value == "FAILED"}

    def partitions(self) -> set[str]:
        return set(self.instance.get_dynamic_partitions("timelapse"))

    def n_reported(self, asset: str = "verification_report") -> int:
        return len(self.instance.fetch_materializations(dg.AssetKey(asset), limit=100).records)

    @property
    def _definitions(self) -> dg.Definitions:
        return build_definitions(library=str(self.archive.root))


@pytest.fixture(scope="session")
def dagster_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with Dagster's empty tables in SQLite: copying them costs a quarter of making them."""
    library = Archive(tmp_path_factory.mktemp("dagster") / "library").library
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(POSTGRES_VARIABLE, "")
        patch.setenv("DAGSTER_HOME", "")
        with instance_of(library):
            pass
    return Path(library.dagster_home)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """An empty library with one timelapse; test modules make one of their own that the instance is then of."""
    return Archive(tmp_path / "library")


@pytest.fixture
def instance(
    archive: Archive, storage: str, dagster_files: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """The library's own instance, as commands open it, on each kind of storage."""
    library = open_library(str(archive.root))
    if storage == "sqlite":
        for folder in ("history", "schedules"):
            shutil.copytree(dagster_files / folder, Path(library.dagster_home, folder))
    monkeypatch.setenv("DAGSTER_HOME", "")  # opening sets it; the test's end puts it back
    with instance_of(library) as made:
        for kept in (made.run_storage, made.event_log_storage, made.schedule_storage):
            assert (storage == "postgres") == type(kept).__module__.startswith("dagster_postgres")
        assert not made.is_ephemeral
        yield made


@pytest.fixture
def located(archive: Archive, instance: dg.DagsterInstance) -> Located:
    """Three timelapses with two sources each, all variants made, nothing verified."""
    for key in KEYS:
        for number, name in enumerate(("a.jpg", "b.jpg")):
            archive.frame(name, key=key, color=number)
    archive.run()
    instance.add_dynamic_partitions("timelapse", list(KEYS))
    return Located(archive, instance)


@contextmanager
def ticks_until_asked() -> Iterator[None]:
    """A tick in here ends when it asks for a run; others end so soon that a busy machine gets to no second look."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sensors, "_TICK_S", 60.0)
        patch.setattr(sensors, "_PATIENCE_S", 60.0)
        yield


def carried_out(archive: Archive, instance: dg.DagsterInstance, schedule: str) -> dg.ExecuteInProcessResult:
    """Asks a schedule as the daemon does, and executes the one run that it asks for, with its config and tags."""
    repository = build_definitions(library=str(archive.root)).get_repository_def()
    definition = repository.get_schedule_def(schedule)
    resources = {"library": LibraryResource(root=str(archive.root))}
    with dg.build_schedule_context(
        instance=instance, scheduled_execution_time=NIGHT, resources=resources, repository_def=repository
    ) as context:
        told = definition.evaluate_tick(context)
    [request] = told.run_requests or []
    done = repository.get_job(definition.job_name).execute_in_process(
        instance=instance, run_config=request.run_config, tags=request.tags, raise_on_error=False
    )
    assert done.success
    return done


def numbers(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    """The metadata of the one materialization of an asset in a run."""
    events = [event.step_materialization_data for event in result.all_events if event.is_step_materialization]
    (made,) = [data.materialization for data in events if data.materialization.asset_key == dg.AssetKey(asset)]
    return {name: value.value for name, value in made.metadata.items()}
