"""The jobs that remove and bring back, as a person launches them in the UI."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from thumb_pipeline.definitions import build_definitions
from thumb_pipeline.defs.jobs.removal import FORCED_TAG, MAINTENANCE_JOBS
from thumb_pipeline_tests.defs.conftest import QUIET
from thumb_pipeline_tests.shifted_clock import clock_ahead
from thumb_pipeline_tests.stages.aging import FUTURE_DAYS, let_days_pass
from thumb_pipeline_tests.stages.archives import Archive

pytestmark = pytest.mark.daemon

OPS = {"sweep": "sweep_orphans", "purge": "purge_variants", "restore": "restore_removed"}


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """A generated library of two sources, of which one was deleted."""
    made = Archive(tmp_path / "library")
    made.frame("a.jpg", color=1)
    made.frame("b.jpg", color=2)
    made.run()
    made.path("a.jpg").unlink()
    return made


def launched(archive: Archive, instance: dg.DagsterInstance, job: str, **config: Any) -> dg.ExecuteInProcessResult:
    definition = build_definitions(library=str(archive.root)).resolve_job_def(job)
    given = {"ops": {OPS[job]: {"config": config}}} if config else {}
    return definition.execute_in_process(instance=instance, run_config={**QUIET, **given}, raise_on_error=False)


def why(result: dg.ExecuteInProcessResult) -> str:
    [failed] = [event for event in result.all_events if event.is_step_failure]
    return str(failed.step_failure_data.user_failure_data.description)


@pytest.mark.parametrize("job", ["sweep", "purge"])
def test_a_job_without_config_is_a_dry_run_with_a_report(
    archive: Archive, instance: dg.DagsterInstance, job: str
) -> None:
    before = archive.variant_files()
    result = launched(archive, instance, job)
    assert result.success
    [report] = [event for event in result.all_events if event.is_step_materialization]
    materialization = report.step_materialization_data.materialization
    assert materialization.asset_key == dg.AssetKey(f"{job}_report")
    shown = [record.data["variant_path"] for record in materialization.metadata["files"].records]
    assert "smalls/a.jpg_small.jpg" in shown
    assert result.output_for_node(OPS[job])["planned"] == len(shown)
    assert archive.variant_files() == before


def test_a_sweep_is_applied_and_restored_by_its_run_id(archive: Archive, instance: dg.DagsterInstance) -> None:
    before = archive.variant_files()
    done = launched(archive, instance, "sweep", apply=True)
    assert done.output_for_node("sweep_orphans")["removed"] == 2
    assert done.output_for_node("sweep_orphans")["run_id"] == done.run_id
    dry = launched(archive, instance, "restore", run_id=done.run_id)
    assert dry.output_for_node("restore_removed")["restored"] == 0
    assert len(archive.variant_files()) == 2
    back = launched(archive, instance, "restore", run_id=done.run_id, apply=True)
    assert back.output_for_node("restore_removed")["restored"] == 2
    assert archive.variant_files() == before


def test_a_brake_fails_the_run_with_the_numbers_and_a_forced_run_is_tagged(
    archive: Archive, instance: dg.DagsterInstance
) -> None:
    archive.path("b.jpg").unlink()
    refused = launched(archive, instance, "sweep", apply=True)
    assert "2 sources recorded, 0 found" in why(refused)
    assert len(archive.variant_files()) == 4
    forced = launched(archive, instance, "sweep", apply=True, force=True)
    assert forced.success
    run = instance.get_run_by_id(forced.run_id)
    assert run is not None
    assert run.tags[FORCED_TAG] == "true"
    assert archive.variant_files() == set()


def test_what_is_not_in_the_trash_fails_a_restore_with_words(archive: Archive, instance: dg.DagsterInstance) -> None:
    assert "no run in the trash" in why(launched(archive, instance, "restore", run_id="nothing", apply=True))


def test_only_the_chosen_variants_are_purged(archive: Archive, instance: dg.DagsterInstance) -> None:
    done = launched(archive, instance, "purge", apply=True, variants=["small"])
    assert done.output_for_node("purge_variants")["removed"] == 2
    assert archive.variant_files() == {"thumbnails/a.jpg_thumb.jpg", "thumbnails/b.jpg_thumb.jpg"}


@pytest.mark.parametrize("job", MAINTENANCE_JOBS, ids=lambda job: job.name)
def test_maintenance_queues_behind_captures_and_every_field_is_described(job: dg.JobDefinition) -> None:
    definition = build_definitions().resolve_job_def(job.name)
    assert definition.tags["dagster/priority"] == "-10"
    [node] = definition.nodes
    kind = node.definition.config_schema.as_field().config_type  # type: ignore[union-attr]
    fields = getattr(kind, "fields", {})
    assert "apply" in fields or job.name == "trash"
    assert all(field.description for field in fields.values())
    schedules = [schedule for schedule in build_definitions().schedules or [] if schedule.name.endswith(job.name)]
    assert all(schedule.default_status is dg.DefaultScheduleStatus.STOPPED for schedule in schedules)


def test_the_trash_job_empties_what_is_older_than_it_is_kept(archive: Archive, instance: dg.DagsterInstance) -> None:
    launched(archive, instance, "purge", apply=True)
    assert launched(archive, instance, "trash").output_for_node("empty_expired")["emptied"] == 0
    archive.settings(more="[trash]\nkeep_days = 0.0")
    assert launched(archive, instance, "trash").output_for_node("empty_expired")["n_files"] == 4


@pytest.mark.parametrize(
    ("job", "config"),
    [
        ("purge", {"use_trash": False}),
        ("purge", {"use_trash": False, "force": True}),
        ("purge", {"use_trash": False, "expected_files": None}),
        ("purge", {"use_trash": False, "expected_files": 10**30}),
        ("purge", {"use_trash": False, "expected_files": -4}),
        ("sweep", {"use_trash": False, "force": True}),
        ("sweep", {"use_trash": False, "force": True, "expected_files": 4}),
    ],
)
def test_no_single_request_deletes_for_good_what_no_brake_holds(
    archive: Archive, instance: dg.DagsterInstance, job: str, config: dict[str, Any]
) -> None:
    before = archive.variant_files()
    dry = launched(archive, instance, job, **config)
    refused = launched(archive, instance, job, **config, apply=True)
    number = dry.output_for_node(OPS[job])["planned"]
    assert why(refused).endswith(f"repeat with expected_files: {number}")
    assert archive.variant_files() == before
    done = launched(archive, instance, job, **{**config, "apply": True, "expected_files": number})
    assert done.output_for_node(OPS[job])["removed"] == number


@pytest.mark.parametrize("number", [True, "4", 4.0, [4], {"env": "HOME"}])
def test_what_is_no_number_is_no_number_of_files(
    archive: Archive, instance: dg.DagsterInstance, number: object
) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError):
        launched(archive, instance, "purge", apply=True, use_trash=False, expected_files=number)
    assert len(archive.variant_files()) == 4


def test_the_trash_job_says_why_a_clock_that_ran_ahead_empties_nothing_and_what_goes_later(
    archive: Archive, instance: dg.DagsterInstance
) -> None:
    purged = launched(archive, instance, "purge", apply=True)
    with clock_ahead(days=FUTURE_DAYS):
        done = launched(archive, instance, "trash")
        assert done.output_for_node("empty_expired")["emptied"] == 0
        assert "the clock went ahead by 400 days" in metadata_of(done)["not_emptied"]
    assert launched(archive, instance, "trash").output_for_node("empty_expired")["emptied"] == 0
    let_days_pass(archive, 7.01)
    done = launched(archive, instance, "trash")
    assert done.output_for_node("empty_expired")["n_files"] == 4
    assert "not_emptied" not in metadata_of(done)
    said = [event.message for event in instance.all_logs(done.run_id) if "the trash was emptied of" in event.message]
    assert len(said) == 1
    assert f"4 files ({purged.output_for_node('purge_variants')['n_bytes'] / 1000:.1f} kB) of purge" in said[0]


def metadata_of(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """The metadata of the one output of a job."""
    (output,) = [event.step_output_data for event in result.all_events if event.is_successful_output]
    return {name: value.value for name, value in output.metadata.items()}
