"""Ticks of the sensor on real instances and folders; what it asks for and what it leaves alone."""

import json
import shutil
from pathlib import Path

import dagster as dg
import pytest

from thumb_pipeline.definitions import build_definitions
from thumb_pipeline.defs import sensors
from thumb_pipeline.defs.jobs import new_captures as captures_job
from thumb_pipeline.defs.jobs.new_captures import new_captures
from thumb_pipeline.defs.partitions import register_timelapses
from thumb_pipeline.defs.resources import LibraryResource
from thumb_pipeline.domain import watching
from thumb_pipeline.stages.captures import memory
from thumb_pipeline.stages.library import clean_up
from thumb_pipeline_tests.defs.conftest import ticks_until_asked
from thumb_pipeline_tests.stages.archives import KEY, Archive

pytestmark = pytest.mark.quick

OTHER = "camera-2/timelapse-2"


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    archive = Archive(tmp_path / "library")
    archive.settings(more="[captures]\nlinger_s = 0.3\nkeep_warm = false")
    return archive


@pytest.fixture(autouse=True)
def _short_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensors, "_TICK_S", 0.4)
    monkeypatch.setattr(sensors, "_PATIENCE_S", 0.2)


def tick(archive: Archive, instance: dg.DagsterInstance, cursor: str | None = None) -> dg.SensorResult:
    resources = {"library": LibraryResource(root=str(archive.root))}
    with dg.build_sensor_context(instance=instance, cursor=cursor, resources=resources) as context:
        result = sensors.new_captures_sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result


def asking(archive: Archive, instance: dg.DagsterInstance) -> dg.SensorResult:
    """A tick that asks for a run."""
    with ticks_until_asked():
        return tick(archive, instance)


def partition_changes(result: dg.SensorResult) -> list[tuple[str, list[str]]]:
    return [(type(r).__name__[:3], list(r.partition_keys)) for r in result.dynamic_partitions_requests or []]


def carried_out(archive: Archive, instance: dg.DagsterInstance, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
    job = build_definitions(library=str(archive.root)).resolve_job_def("new_captures")
    return job.execute_in_process(run_config=request.run_config, instance=instance)


def killed_lease(archive: Archive, lease_id: str = "0badcafe", text: str = "") -> str:
    """What a killed process leaves: its lease, which nobody holds."""
    folder = Path(archive.library.lease_folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{lease_id}.lease").write_text(text)
    return lease_id


def materialized(result: dg.ExecuteInProcessResult) -> set[tuple[str, str | None]]:
    logged = [event.step_materialization_data for event in result.all_events if event.is_step_materialization]
    found = [data.materialization for data in logged]
    return {(event.asset_key.to_user_string(), event.partition) for event in found}


def test_one_run_is_asked_for_however_many_timelapses_moved(archive: Archive, instance: dg.DagsterInstance) -> None:
    archive.frame("a.jpg")
    archive.frame("b.jpg", key=OTHER)
    result = asking(archive, instance)
    assert result.run_requests is not None
    assert len(result.run_requests) == 1
    assert partition_changes(result) == [("Add", [KEY, OTHER])]


def test_the_run_renders_what_it_was_told_and_reports_each_timelapse(
    archive: Archive, instance: dg.DagsterInstance
) -> None:
    archive.frame("a.jpg")
    archive.frame("b.jpg", key=OTHER)
    (request,) = asking(archive, instance).run_requests or []
    result = carried_out(archive, instance, request)
    assets = ("image_inventory", "missing_thumbnails", "thumbnails")
    assert materialized(result) == {(asset, key) for asset in assets for key in (KEY, OTHER)}
    assert archive.variant("a.jpg").exists()
    assert archive.variant("b.jpg", key=OTHER).exists()
    assert memory.open_lists(archive.library) == []


def test_nothing_is_asked_for_when_all_is_rendered(done_library: Archive, instance: dg.DagsterInstance) -> None:
    result = tick(done_library, instance, cursor=None)
    assert not result.run_requests
    assert "nothing new" in str(result.skip_reason)


def test_a_run_that_was_just_asked_for_is_not_asked_for_again(archive: Archive, instance: dg.DagsterInstance) -> None:
    archive.frame("a.jpg")
    assert asking(archive, instance).run_requests
    assert not tick(archive, instance, cursor=None).run_requests  # a second daemon, or a lost cursor


def test_no_run_is_asked_for_while_one_is_under_way(archive: Archive, instance: dg.DagsterInstance) -> None:
    archive.frame("a.jpg")
    instance.create_run_for_job(new_captures, status=dg.DagsterRunStatus.STARTING)
    result = tick(archive, instance)
    assert not result.run_requests
    assert "already handling" in str(result.skip_reason)


def test_a_run_is_asked_for_before_anything_is_new_and_kept_warm(
    done_library: Archive, instance: dg.DagsterInstance
) -> None:
    done_library.settings(more="[captures]\nkeep_warm = true")
    assert tick(done_library, instance).run_requests


def test_a_run_whose_time_is_over_is_followed_by_one_that_waits_for_its_end(
    archive: Archive, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "RUN_LASTS_S", 0.0)
    archive.frame("a.jpg")
    run = instance.create_run_for_job(new_captures, status=dg.DagsterRunStatus.STARTING)
    (request,) = asking(archive, instance).run_requests or []
    assert request.run_key == f"after-{run.run_id}"
    next_run = instance.create_run_for_job(new_captures, status=dg.DagsterRunStatus.STARTING)
    assert not tick(archive, instance).run_requests
    instance.delete_run(next_run.run_id)
    assert carried_out(archive, instance, request).success
    assert archive.variant("a.jpg").exists()


def test_a_run_whose_process_was_killed_is_failed_and_followed_by_another(
    archive: Archive, instance: dg.DagsterInstance
) -> None:
    archive.frame("a.jpg")
    with archive.library.lease() as lease:
        run = instance.create_run_for_job(new_captures, status=dg.DagsterRunStatus.STARTED)
        instance.add_run_tags(run.run_id, {clean_up.LEASE_TAG: clean_up.lease_tag(lease, run.run_id)})
        assert not tick(archive, instance).run_requests
    assert not tick(archive, instance).run_requests  # a lease that was given back: its run is about to end
    killed_lease(archive, lease.id)
    assert asking(archive, instance).run_requests
    after = instance.get_run_by_id(run.run_id)
    assert after is not None
    assert after.status == dg.DagsterRunStatus.FAILURE


def test_a_run_cleans_up_after_one_that_was_killed(archive: Archive, instance: dg.DagsterInstance) -> None:
    archive.frame("a.jpg")
    (request,) = asking(archive, instance).run_requests or []
    smalls = archive.variant("a.jpg").parent
    smalls.mkdir(parents=True)
    killed_lease(archive, text=f"{smalls}\n")
    (smalls / ".tp-0badcafe-1-1").write_bytes(b"half")
    assert carried_out(archive, instance, request).success
    assert [path.name for path in smalls.iterdir()] == ["a.jpg_small.jpg"]
    assert list(Path(archive.library.lease_folder).iterdir()) == []


def test_a_second_run_leaves_the_work_to_the_first(
    archive: Archive, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(captures_job, "_OTHER_WATCHER_S", 0.1)
    archive.frame("a.jpg")
    (request,) = asking(archive, instance).run_requests or []
    with memory.watching(archive.library):
        assert carried_out(archive, instance, request).success
    assert not archive.variant("a.jpg").exists()


def test_an_archive_that_cannot_be_read_is_a_skip_with_its_reason(
    archive: Archive, instance: dg.DagsterInstance
) -> None:
    archive.frame("a.jpg")
    register_timelapses(instance, [KEY])
    cameras = archive.root / "cameras"
    cameras.rename(archive.root / "elsewhere")
    cameras.symlink_to(archive.root / "not-mounted")
    result = tick(archive, instance)
    assert not result.run_requests
    assert not result.dynamic_partitions_requests
    assert "check the disk" in str(result.skip_reason)


@pytest.mark.parametrize("has_mount_point", [True, False])
def test_timelapses_that_are_known_and_not_there_are_named(
    done_library: Archive, instance: dg.DagsterInstance, has_mount_point: bool
) -> None:
    register_timelapses(instance, [KEY])
    cameras = done_library.root / "cameras"
    cameras.rename(done_library.root / "elsewhere")
    if has_mount_point:
        cameras.mkdir()
    result = tick(done_library, instance)
    assert not result.dynamic_partitions_requests
    assert f"not on the disk ({KEY}): check that it is mounted" in str(result.skip_reason)


def test_beside_a_run_for_new_captures_partitions_are_told_of_and_retired_too(
    done_library: Archive, instance: dg.DagsterInstance
) -> None:
    instance.create_run_for_job(new_captures, status=dg.DagsterRunStatus.STARTING)
    register_timelapses(instance, [KEY, "camera-9/timelapse-9"])  # nothing was ever known of the latter
    (done_library.root / "cameras").rename(done_library.root / "elsewhere")
    result = tick(done_library, instance)
    assert partition_changes(result) == [("Del", ["camera-9/timelapse-9"])]
    assert f"already handling new captures; 1 known timelapse not on the disk ({KEY})" in str(result.skip_reason)


def test_a_folder_that_cannot_be_read_is_named_in_the_reason(
    done_library: Archive, instance: dg.DagsterInstance
) -> None:
    shutil.rmtree(done_library.frames())
    done_library.frames().symlink_to(done_library.root / "not-mounted")
    assert f"{KEY}: " in str(tick(done_library, instance).skip_reason)


def test_a_missing_library_is_a_skip_with_its_reason(archive: Archive, instance: dg.DagsterInstance) -> None:
    (archive.root / "thumbs.toml").unlink()
    assert "thumbs.toml" in str(tick(archive, instance).skip_reason)


def test_a_partition_goes_when_its_loss_was_accepted_and_not_before(
    done_library: Archive, instance: dg.DagsterInstance
) -> None:
    register_timelapses(instance, [KEY])
    shutil.rmtree(done_library.root / "cameras" / "camera-1")
    assert partition_changes(tick(done_library, instance)) == []
    done_library.run(accept_shrink=True)
    assert partition_changes(tick(done_library, instance)) == [("Del", [KEY])]


def test_a_partition_stays_while_a_run_may_count_on_it(done_library: Archive, instance: dg.DagsterInstance) -> None:
    register_timelapses(instance, [KEY])
    shutil.rmtree(done_library.root / "cameras" / "camera-1")
    done_library.run(accept_shrink=True)
    generate = build_definitions().resolve_job_def("generate")
    instance.create_run_for_job(generate, status=dg.DagsterRunStatus.STARTED)
    assert partition_changes(tick(done_library, instance)) == []


def test_the_run_config_stays_small_however_much_moved(archive: Archive, instance: dg.DagsterInstance) -> None:
    for number in range(200):
        archive.other(f"{number:04d}.jpg", b"\xff\xd8\xff" + bytes(number) + b"\xff\xd9")
    (request,) = asking(archive, instance).run_requests or []
    assert len(json.dumps(request.run_config)) < 200


def test_the_nightly_run_does_the_others_and_fails_naming_the_refused_one(
    done_library: Archive, instance: dg.DagsterInstance
) -> None:
    done_library.frame("c.jpg", key=OTHER)
    for path in done_library.frames().iterdir():
        path.unlink()
    job = build_definitions(library=str(done_library.root)).resolve_job_def("generate")
    config = {"ops": {"take_order": {"config": {"go_on_without_refused": True}}}}
    result = job.execute_in_process(run_config=config, instance=instance, raise_on_error=False)
    assert not result.success
    failure = result.failure_data_for_node("report_order")
    assert failure is not None
    assert failure.user_failure_data is not None
    assert KEY in str(failure.user_failure_data.description)
    assert done_library.variant("c.jpg", key=OTHER).exists()
    assert done_library.inventory().height == 2


@pytest.fixture
def done_library(archive: Archive) -> Archive:
    archive.frame("a.jpg", color=1)
    archive.frame("b.jpg", color=2)
    archive.run()
    return archive
