"""While thumbs.toml cannot be used: ticks, runs, schedules and checks go on with the last usable settings, loudly."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from thumb_pipeline.definitions import build_definitions
from thumb_pipeline.defs import sensors
from thumb_pipeline.defs.resources import LibraryResource
from thumb_pipeline.defs.schedules import nightly_reconcile
from thumb_pipeline.defs.settings_trouble import SETTINGS_CHECK, SETTINGS_TAG
from thumb_pipeline.stages.library import settings_in_force
from thumb_pipeline_tests.defs.conftest import ticks_until_asked
from thumb_pipeline_tests.stages.archives import Archive

pytestmark = pytest.mark.quick

FAULT = "zzz = 1: unknown key"


@pytest.fixture(autouse=True)
def _short_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensors, "_TICK_S", 0.2)
    monkeypatch.setattr(settings_in_force, "_STANDS_STILL_S", 0.0)


@pytest.fixture
def spoilt(archive: Archive, instance: dg.DagsterInstance) -> Archive:
    """A library whose file was usable once, when its instance was made, and no longer is."""
    archive.settings(more="[captures]\nlinger_s = 0.1\nkeep_warm = false")
    settings_in_force.open_in_force(str(archive.root))
    path = archive.root / "thumbs.toml"
    path.write_text("zzz = 1\n" + path.read_text())
    return archive


def mend(archive: Archive) -> None:
    archive.settings()


def resource(archive: Archive) -> LibraryResource:
    return LibraryResource(root=str(archive.root))


def tick(archive: Archive, instance: dg.DagsterInstance, cursor: str | None = None) -> dg.SensorResult:
    resources = {"library": resource(archive)}
    with dg.build_sensor_context(instance=instance, cursor=cursor, resources=resources) as context:
        result = sensors.new_captures_sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result


def run_job(archive: Archive, instance: dg.DagsterInstance, job: str, ops: Any = None) -> dg.ExecuteInProcessResult:
    definition = build_definitions(library=str(archive.root)).resolve_job_def(job)
    return definition.execute_in_process(run_config={"ops": ops or {}}, instance=instance, raise_on_error=False)


def warnings(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    return [entry.user_message for entry in instance.all_logs(run_id) if entry.level == 30]


def test_a_tick_that_asks_for_nothing_says_what_is_wrong(spoilt: Archive, instance: dg.DagsterInstance) -> None:
    said = str(tick(spoilt, instance).skip_reason)
    assert FAULT in said
    assert "stay in force" in said
    assert "nothing new" in said


def test_a_tick_that_asks_for_a_run_asks_and_marks_it(spoilt: Archive, instance: dg.DagsterInstance) -> None:
    spoilt.frame("a.jpg")
    with ticks_until_asked():
        (request,) = tick(spoilt, instance).run_requests or []
    assert "stay in force" in request.tags[SETTINGS_TAG]
    mend(spoilt)
    spoilt.frame("b.jpg")
    with ticks_until_asked():
        (request,) = tick(spoilt, instance, json.dumps({})).run_requests or []
    assert SETTINGS_TAG not in request.tags


def test_ticks_turn_the_check_once_when_it_breaks_and_once_when_it_is_mended(
    spoilt: Archive, instance: dg.DagsterInstance
) -> None:
    first = tick(spoilt, instance)
    (broken,) = first.asset_events
    assert isinstance(broken, dg.AssetCheckEvaluation)
    assert (broken.check_name, broken.passed, broken.severity) == (SETTINGS_CHECK, False, dg.AssetCheckSeverity.WARN)
    assert FAULT in str(broken.description)
    assert tick(spoilt, instance, first.cursor).asset_events == []
    mend(spoilt)
    (mended,) = tick(spoilt, instance, first.cursor).asset_events
    assert isinstance(mended, dg.AssetCheckEvaluation)
    assert mended.passed


def test_a_run_works_by_the_last_usable_settings_and_warns_once(spoilt: Archive, instance: dg.DagsterInstance) -> None:
    spoilt.frame("a.jpg")
    done = run_job(spoilt, instance, "generate")
    assert done.success
    assert len(list(spoilt.root.glob("cameras/*/*/smalls/a.jpg*"))) == 1
    (warning,) = [line for line in warnings(instance, done.run_id) if "zzz" in line]
    assert str(spoilt.root / "thumbs.toml") in warning
    assert "stay in force" in warning


def test_the_run_for_new_captures_works_on_and_warns_once(spoilt: Archive, instance: dg.DagsterInstance) -> None:
    spoilt.frame("a.jpg")
    done = run_job(spoilt, instance, "new_captures")
    assert done.success
    assert len(list(spoilt.root.glob("cameras/*/*/smalls/a.jpg*"))) == 1
    assert len([line for line in warnings(instance, done.run_id) if "zzz" in line]) == 1


def test_the_nightly_comparison_takes_place(spoilt: Archive, instance: dg.DagsterInstance) -> None:
    when = dt.datetime(2026, 1, 1, 2, 30, tzinfo=dt.UTC)
    resources = {"library": resource(spoilt)}
    with dg.build_schedule_context(instance=instance, scheduled_execution_time=when, resources=resources) as context:
        request = nightly_reconcile(context)
    assert isinstance(request, dg.RunRequest)
    assert "stay in force" in request.tags[SETTINGS_TAG]


@pytest.mark.parametrize(
    ("job", "ops"),
    [
        ("sweep", {"sweep_orphans": {"config": {"apply": True}}}),
        ("sweep", {}),
        ("purge", {"purge_variants": {"config": {"apply": True}}}),
        ("trash", {}),
        ("repair", {"repair_library": {"config": {"apply": True}}}),
    ],
)
def test_nothing_is_removed_by_settings_that_nobody_can_see(
    spoilt: Archive, instance: dg.DagsterInstance, job: str, ops: Any
) -> None:
    orphan = Path(
        settings_in_force.open_in_force(str(spoilt.root)).variants("camera-1/timelapse-1"), "smalls", "x_small.jpg"
    )
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"x")
    done = run_job(spoilt, instance, job, ops)
    assert not done.success
    (failed,) = [event.step_failure_data for event in done.all_events if event.is_step_failure]
    assert failed.user_failure_data is not None
    assert "nothing is removed" in str(failed.user_failure_data.description)
    assert orphan.exists()


def test_steps_of_one_run_never_see_two_settings(archive: Archive, instance: dg.DagsterInstance) -> None:
    """The file changes after the plan: what is recorded is what was made."""
    archive.frame("a.jpg")
    seen: list[object] = []

    @dg.op(out=dg.Out(dg.Nothing))
    def before(context: dg.OpExecutionContext, library: LibraryResource) -> None:
        seen.append(library.open(context.instance).written)
        archive.settings(small="quality = 20")

    @dg.op(ins={"start": dg.In(dg.Nothing)})
    def after(context: dg.OpExecutionContext, library: LibraryResource) -> None:
        seen.append(library.open(context.instance).written)

    @dg.job(resource_defs={"library": resource(archive)}, executor_def=dg.in_process_executor)
    def both() -> None:
        after(before())

    assert both.execute_in_process(instance=instance).success
    assert both.execute_in_process(instance=instance).success
    assert seen[0] == seen[1] != seen[2] == seen[3]
