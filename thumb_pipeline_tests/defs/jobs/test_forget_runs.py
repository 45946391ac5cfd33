"""Which finished runs are forgotten, and that nothing the UI shows goes with them."""

import time
from pathlib import Path

import dagster as dg
import pytest

from thumb_pipeline.definitions import build_definitions
from thumb_pipeline.defs.jobs import forget_runs
from thumb_pipeline.defs.settings_trouble import SETTINGS_CHECK
from thumb_pipeline.stages.rendering import work_orders
from thumb_pipeline_tests.shifted_clock import clock_ahead
from thumb_pipeline_tests.stages.archives import Archive

pytestmark = [pytest.mark.daemon, pytest.mark.both_storages]

ASSET = dg.AssetKey("thumbnails")
FIRST, SECOND = "camera-1/timelapse-1", "camera-2/timelapse-2"
LATER_S = 91 * 86_400


@pytest.fixture
def instance(instance: dg.DagsterInstance) -> dg.DagsterInstance:
    instance.add_dynamic_partitions("timelapse", [FIRST, SECOND])
    return instance


def run(instance: dg.DagsterInstance, *keys: str | None, fails: bool = False, check: bool = False) -> str:
    """The id of a finished run that materialized these partitions; None is an asset without any."""

    @dg.op
    def materialize(context: dg.OpExecutionContext) -> int:
        for key in keys:
            asset = ASSET if key else dg.AssetKey("coverage_statistics")
            context.log_event(dg.AssetMaterialization(asset, partition=key, metadata={"for": key or "all"}))
        if check:
            asset = dg.AssetKey("verification_report")
            context.log_event(dg.AssetCheckEvaluation(asset_key=asset, check_name=SETTINGS_CHECK, passed=True))
        if fails:
            raise dg.Failure("on purpose")
        return 1

    @dg.job(executor_def=dg.in_process_executor)
    def job() -> None:
        materialize()

    return job.execute_in_process(instance=instance, raise_on_error=False).run_id


def forgotten(archive: Archive, instance: dg.DagsterInstance, in_s: float = LATER_S, most_s: float = 60.0) -> set[str]:
    before = set(instance.get_run_ids())
    told = forget_runs.forget(instance, archive.library, now_s=time.time() + in_s, most_s=most_s)
    gone = before - set(instance.get_run_ids())
    assert told["forgotten"] == len(gone)
    return gone


def test_runs_go_when_they_are_old_and_nothing_hangs_on_them(archive: Archive, instance: dg.DagsterInstance) -> None:
    plain, broken, both = run(instance), run(instance, fails=True), run(instance, FIRST, SECOND)
    one, library = run(instance, FIRST), run(instance, None)
    assert forgotten(archive, instance, in_s=0) == set()
    assert forgotten(archive, instance) == {plain, broken}
    again = run(instance, SECOND)
    assert forgotten(archive, instance) == {both}
    assert set(instance.get_run_ids()) == {one, library, again}


def test_no_partition_loses_its_latest_materialization(archive: Archive, instance: dg.DagsterInstance) -> None:
    run(instance, FIRST, SECOND, None, check=True)
    run(instance, FIRST)
    run(instance)
    forgotten(archive, instance)
    assert instance.get_materialized_partitions(ASSET) == {FIRST, SECOND}
    latest = instance.fetch_materializations(dg.AssetRecordsFilter(ASSET, asset_partitions=[SECOND]), limit=5)
    (kept,) = latest.records
    assert kept.asset_materialization is not None
    assert kept.asset_materialization.metadata["for"].value == SECOND
    assert instance.get_latest_materialization_event(dg.AssetKey("coverage_statistics")) is not None


def test_the_run_of_the_latest_check_stays(archive: Archive, instance: dg.DagsterInstance) -> None:
    first, second = run(instance, check=True), run(instance, check=True)
    assert forgotten(archive, instance) == {first}
    assert second in instance.get_run_ids()


def test_a_timelapse_that_was_retired_keeps_no_run(archive: Archive, instance: dg.DagsterInstance) -> None:
    old = run(instance, SECOND)
    run(instance, FIRST)
    instance.delete_dynamic_partition("timelapse", SECOND)
    assert forgotten(archive, instance) == {old}


def test_a_run_whose_order_of_work_waits_stays(archive: Archive, instance: dg.DagsterInstance) -> None:
    waiting, other = run(instance, fails=True), run(instance, fails=True)
    archive.frame("a.jpg")
    work_orders.place(archive.library, archive.plan(), waiting)
    assert forgotten(archive, instance) == {other}


def test_nothing_of_a_forgotten_run_is_left_on_the_disk(archive: Archive, instance: dg.DagsterInstance) -> None:
    old, latest = run(instance, FIRST), run(instance, FIRST)
    home = Path(archive.library.dagster_home)
    logs = home / "storage" / old / "compute_logs" / "materialize.err"
    logs.parent.mkdir(parents=True, exist_ok=True)
    logs.write_text("said")
    assert forgotten(archive, instance) == {old}
    assert [path for path in home.rglob("*") if old in path.name] == []
    assert instance.get_run_by_id(latest) is not None


def test_zero_keeps_every_run(archive: Archive, instance: dg.DagsterInstance) -> None:
    archive.settings(more="[runs]\nkeep_days = 0.0")
    run(instance)
    assert forgotten(archive, instance, in_s=100 * LATER_S) == set()


def test_by_a_clock_that_ran_ahead_no_run_is_forgotten_and_the_reason_is_said(
    archive: Archive, instance: dg.DagsterInstance
) -> None:
    run(instance)
    with archive.library.lease(), clock_ahead(days=400):
        assert forgotten(archive, instance, in_s=0) == set()
        told = forget_runs.forget(instance, archive.library, now_s=time.time(), most_s=60.0)
        assert told == {"forgotten": 0, "still_needed": 0, "left": 1}
        reason = forget_runs.reason_to_wait(archive.library, now_s=time.time())
        assert reason is not None
        assert "the clock went ahead by 400 days" in reason
        assert len(forgotten(archive, instance)) == 1  # after as many days by the same clock


def test_what_does_not_fit_into_one_night_is_left_to_the_next(archive: Archive, instance: dg.DagsterInstance) -> None:
    run(instance)
    assert forgotten(archive, instance, most_s=-1.0) == set()


def test_the_nightly_job_does_it(archive: Archive, instance: dg.DagsterInstance) -> None:
    archive.settings(more="[runs]\nkeep_days = 1e-9")
    old = run(instance)
    time.sleep(0.01)
    job = build_definitions(library=str(archive.root)).resolve_job_def("forget_runs")
    assert job.execute_in_process(instance=instance).success
    assert old not in instance.get_run_ids()
