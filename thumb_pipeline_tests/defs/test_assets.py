"""The assets and the job on real instances: in this process, and by Dagster's own commands in others."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from thumb_pipeline.cli.dagster.instance import POSTGRES_STORAGE, instance_settings
from thumb_pipeline.definitions import build_definitions
from thumb_pipeline.defs.jobs.generate import generate_graph
from thumb_pipeline.defs.resources import LibraryResource, ProgressResource
from thumb_pipeline.stages.library.open import initialise
from thumb_pipeline.stages.library.run_database import POSTGRES_VARIABLE
from thumb_pipeline_tests.cli.conftest import Archive, clean_environment, jpeg
from thumb_pipeline_tests.postgres import Postgres

pytestmark = pytest.mark.daemon

REPOSITORY = Path(__file__).parents[2]
ASSETS = ("image_inventory", "missing_thumbnails", "thumbnails")
KEYS = ("camera-1/timelapse-1", "camera-1/timelapse-2", "camera-2/timelapse-3")
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """A library of three timelapses with two frames each, initialised."""
    made = Archive(tmp_path / "library")
    initialise(str(made.root))
    for key in KEYS:
        made.fill(2, key)
    return made


@pytest.fixture
def instance(instance: dg.DagsterInstance) -> dg.DagsterInstance:
    """The library's own, which knows its timelapses."""
    instance.add_dynamic_partitions("timelapse", list(KEYS))
    return instance


def materialize(
    archive: Archive, instance: dg.DagsterInstance, assets: tuple[str, ...], **options: Any
) -> dg.ExecuteInProcessResult:
    job = build_definitions(library=str(archive.root)).resolve_implicit_global_asset_job_def()
    config = {**QUIET, **options.pop("run_config", {})}
    return job.execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey(name) for name in assets],
        raise_on_error=False,
        run_config=config,
        **options,
    )


def numbers(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    [event] = result.asset_materializations_for_node(asset)
    return {name: value.value for name, value in event.metadata.items()}


def why(result: dg.ExecuteInProcessResult) -> str:
    return " ".join(
        str(event.step_failure_data.user_failure_data.description)
        for event in result.all_events
        if event.is_step_failure and event.step_failure_data.user_failure_data
    )


def test_one_partition_is_inventoried_planned_and_rendered(archive: Archive, instance: dg.DagsterInstance) -> None:
    result = materialize(archive, instance, ASSETS, partition_key=KEYS[0])
    assert result.success
    assert len(archive.variants()) == 4
    [made] = [e for e in result.all_events if e.is_step_materialization and e.asset_key == dg.AssetKey("thumbnails")]
    assert made.partition == KEYS[0]
    metadata = made.step_materialization_data.materialization.metadata
    assert metadata["rendered"].value == 4
    assert "data:image/jpeg;base64," in metadata["newest_thumbnails"].value
    assert {column.name for column in metadata["dagster/column_schema"].value.columns} >= {"checksum", "render_ms"}


def test_thumbnails_alone_make_their_own_inventory_and_plan(archive: Archive, instance: dg.DagsterInstance) -> None:
    assert materialize(archive, instance, ("thumbnails",), partition_key=KEYS[1]).success
    assert len(archive.variants()) == 4


def test_force_in_the_config_renders_again(archive: Archive, instance: dg.DagsterInstance) -> None:
    materialize(archive, instance, ("thumbnails",), partition_key=KEYS[0])
    forced = {"ops": {"thumbnails": {"ops": {"cut_plan": {"config": {"force": True}}}}}}
    result = materialize(archive, instance, ("thumbnails",), partition_key=KEYS[0], run_config=forced)
    [event] = [e for e in result.all_events if e.is_step_materialization]
    assert event.step_materialization_data.materialization.metadata["rendered"].value == 4


def test_a_range_of_partitions_shares_a_run(archive: Archive, instance: dg.DagsterInstance) -> None:
    tags = {"dagster/asset_partition_range_start": KEYS[0], "dagster/asset_partition_range_end": KEYS[-1]}
    assert materialize(archive, instance, ASSETS, tags=tags).success
    assert len(archive.variants()) == 12
    assert set(instance.get_materialized_partitions(dg.AssetKey("thumbnails"))) == set(KEYS)


def test_statistics_count_the_whole_library(archive: Archive, instance: dg.DagsterInstance) -> None:
    materialize(archive, instance, ("thumbnails",), partition_key=KEYS[0])
    result = materialize(archive, instance, ("coverage_statistics", "disk_usage_statistics"))
    assert numbers(result, "coverage_statistics")["ratio/thumbnail"] == pytest.approx(2 / 6)
    assert numbers(result, "disk_usage_statistics")["files/small"] == 2


def test_a_vanished_archive_fails_the_run_and_keeps_the_rows(archive: Archive, instance: dg.DagsterInstance) -> None:
    materialize(archive, instance, ASSETS, partition_key=KEYS[0])
    shutil.rmtree(archive.frames(KEYS[0]))
    for asset in ASSETS:
        result = materialize(archive, instance, (asset,), partition_key=KEYS[0])
        assert not result.success
        assert "2 sources recorded, 0 found" in why(result)
    accepted = {"ops": {"image_inventory": {"config": {"accept_shrink": True}}}}
    result = materialize(archive, instance, ("image_inventory",), partition_key=KEYS[0], run_config=accepted)
    assert numbers(result, "image_inventory")["sources"] == 0


def test_a_library_that_is_not_there_is_a_failure_with_the_remedy(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("THUMB_PIPELINE_LIBRARY", raising=False)
    job = build_definitions().resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey("coverage_statistics")],
        raise_on_error=False,
        run_config=QUIET,
    )
    assert not result.success
    assert "python3 run.py demo" in why(result)


def test_the_generate_job_reports_every_timelapse_with_work(archive: Archive, instance: dg.DagsterInstance) -> None:
    job = build_definitions(library=str(archive.root)).resolve_job_def("generate")
    result = job.execute_in_process(instance=instance, run_config=QUIET)
    assert result.success
    for asset in ASSETS:
        assert set(instance.get_materialized_partitions(dg.AssetKey(asset))) == set(KEYS)
    assert instance.get_latest_materialization_event(dg.AssetKey("coverage_statistics")) is not None


def test_chunks_of_a_large_plan_are_mapped(archive: Archive, instance: dg.DagsterInstance) -> None:
    settings = archive.root / "thumbs.toml"
    settings.write_text(settings.read_text().replace("chunk_s = 60.0", "chunk_s = 0.05"))
    job = build_definitions(library=str(archive.root)).resolve_job_def("generate")
    result = job.execute_in_process(instance=instance, run_config=QUIET)
    chunks = [e for e in result.all_events if e.is_step_success and e.step_key.startswith("render_chunk[")]
    assert len(chunks) > 1
    assert len(archive.variants()) == 12


def multiprocess_job() -> dg.JobDefinition:
    """`generate` with every op in a process of its own; the library comes from the environment."""
    return generate_graph.to_job(
        resource_defs={"library": LibraryResource(), "progress": ProgressResource()},  # type: ignore[dict-item]
        executor_def=dg.multiprocess_executor,
    )


@pytest.mark.daemon
def test_another_executor_can_run_the_ops(archive: Archive, storage: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text((POSTGRES_STORAGE if storage == "postgres" else "") + instance_settings())
    environment = {
        **clean_environment(),
        POSTGRES_VARIABLE: os.environ.get(POSTGRES_VARIABLE, "").replace("postgresql:", "postgresql+psycopg2:"),
        "DAGSTER_HOME": str(home),
        "THUMB_PIPELINE_LIBRARY": str(archive.root),
        "PYTHONPATH": str(REPOSITORY),
    }
    command = ["job", "execute", "-m", "thumb_pipeline_tests.defs.test_assets", "-a", "multiprocess_job"]
    ended = subprocess.run([dagster(), *command], env=environment, cwd=tmp_path, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr.decode()[-2000:]
    assert len(archive.variants()) == 12


@pytest.mark.daemon
def test_the_files_in_the_root_serve_the_demos_library_with_no_variables_set(tmp_path: Path) -> None:
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    home = Archive(tmp_path / ".demo-library")
    initialise(str(home.root))
    home.add("timelapse-1_20250422_143022.jpg", jpeg())
    command = ["job", "execute", "-m", "thumb_pipeline.definitions", "-j", "generate"]
    ended = subprocess.run(
        [dagster(), *command], env=clean_environment(), cwd=tmp_path, capture_output=True, check=False
    )
    assert ended.returncode == 0, ended.stderr.decode()[-2000:]
    assert len(home.variants()) == 2
    with dg.DagsterInstance.from_config(str(home.root / ".thumb_pipeline/dagster"), "none.yaml") as instance:
        assert [run.status.value for run in instance.get_runs()] == ["SUCCESS"]
    valid = subprocess.run(
        [dagster(), "definitions", "validate"], env=clean_environment(), cwd=tmp_path, capture_output=True, check=False
    )
    assert valid.returncode == 0, valid.stderr.decode()[-2000:]


@pytest.mark.daemon
def test_the_demos_instance_refuses_another_library(archive: Archive, tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "dagster.yaml", tmp_path)
    environment = {**clean_environment(), "THUMB_PIPELINE_LIBRARY": str(archive.root)}
    command = ["job", "execute", "-m", "thumb_pipeline.definitions", "-j", "generate"]
    ended = subprocess.run([dagster(), *command], env=environment, cwd=tmp_path, capture_output=True, check=False)
    assert ended.returncode != 0
    assert f"thumb-pipeline up --library {archive.root}" in " ".join(ended.stderr.decode().split())
    assert archive.variants() == {}


@pytest.mark.daemon
def test_the_instance_file_for_postgres_serves_one_library_and_refuses_a_second(
    archive: Archive, postgres: Postgres, tmp_path: Path
) -> None:
    shutil.copy(REPOSITORY / "deploy/postgres/dagster.yaml", tmp_path)
    command = [dagster(), "job", "execute", "-m", "thumb_pipeline.definitions", "-j", "generate"]
    environment = {
        **clean_environment(),
        "DAGSTER_HOME": str(tmp_path),
        POSTGRES_VARIABLE: postgres.fresh().replace("postgresql:", "postgresql+psycopg2:"),
    }
    other = Archive(tmp_path / "other")
    initialise(str(other.root))
    other.fill(1)
    ended = [
        subprocess.run(
            command, check=False, env={**environment, "THUMB_PIPELINE_LIBRARY": str(root)}, capture_output=True
        )
        for root in (archive.root, other.root)
    ]
    assert [process.returncode == 0 for process in ended] == [True, False], ended[0].stderr.decode()[-2000:]
    assert len(archive.variants()) == 12
    assert "keeps the runs of another library" in " ".join(ended[1].stderr.decode().split())
    assert other.variants() == {}
    assert all(postgres.password.encode() not in process.stdout + process.stderr for process in ended)
    assert postgres.rows("SELECT status FROM runs", postgres.newest) == [("SUCCESS",), ("FAILURE",)]


def dagster() -> str:
    return os.path.join(os.path.dirname(sys.executable), "dagster")
