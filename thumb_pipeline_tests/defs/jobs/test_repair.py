"""The job `repair`, in this process."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from thumb_pipeline.definitions import build_definitions
from thumb_pipeline_tests.defs.conftest import QUIET
from thumb_pipeline_tests.stages.archives import Archive

pytestmark = pytest.mark.quick


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """A library whose one frame was renamed after its variants were made."""
    made = Archive(tmp_path / "library")
    made.frame("a.jpg")
    made.frame("b.jpg", color=9)
    made.run()
    made.path("a.jpg").rename(made.path("c.jpg"))
    return made


def executed(archive: Archive, instance: dg.DagsterInstance, **config: Any) -> dg.ExecuteInProcessResult:
    job = build_definitions(library=str(archive.root)).resolve_job_def("repair")
    run_config = {"ops": {"repair_library": {"config": config}}, **QUIET}
    return job.execute_in_process(run_config=run_config, instance=instance, raise_on_error=False)


def test_without_apply_nothing_is_changed_and_the_numbers_are_the_same(
    archive: Archive, instance: dg.DagsterInstance
) -> None:
    before = archive.files()
    planned = executed(archive, instance).output_for_node("repair_library")
    assert archive.files() == before
    assert planned["files_matched"] == planned["files_moved"] == 2
    assert executed(archive, instance, apply=True).output_for_node("repair_library") == planned
    assert archive.files() != before


def test_the_report_shows_what_was_moved_where(archive: Archive, instance: dg.DagsterInstance) -> None:
    events = executed(archive, instance, apply=True).all_events
    [report] = [event.materialization for event in events if event.is_step_materialization]
    metadata = report.metadata
    assert metadata["orphaned_files_found"].value == 2
    moved = metadata["moved"].records
    assert [record.data["to_path"] for record in moved] == ["smalls/c.jpg_small.jpg", "thumbnails/c.jpg_thumb.jpg"]


def test_a_refusal_is_a_failure_that_says_so(archive: Archive, instance: dg.DagsterInstance) -> None:
    archive.frames().rename(archive.root / "elsewhere")
    result = executed(archive, instance, apply=True)
    [failure] = [event.step_failure_data.user_failure_data for event in result.all_events if event.is_step_failure]
    assert "--accept-shrink" in failure.description
    assert "refused_before_anything_changed" in failure.metadata


def test_every_field_of_the_config_is_described() -> None:
    job = build_definitions().resolve_job_def("repair")
    config = job.get_node_named("repair_library").definition.config_schema.config_type
    assert {name: bool(field.description) for name, field in config.fields.items()} == {
        "timelapses": True,
        "apply": True,
        "accept_shrink": True,
    }
    assert job.tags["dagster/priority"] == "-10"
