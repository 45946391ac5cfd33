"""The nightly comparison: what it asks for, and when it asks for nothing."""

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from thumb_pipeline.definitions import build_definitions
from thumb_pipeline.defs.resources import LibraryResource
from thumb_pipeline.defs.schedules import nightly_reconcile
from thumb_pipeline_tests.stages.archives import Archive

pytestmark = pytest.mark.quick


def asked(root: Path) -> dg.RunRequest | dg.SkipReason:
    night = datetime(2030, 1, 2, 2, 30, tzinfo=UTC)
    resources = {"library": LibraryResource(root=str(root))}
    with dg.build_schedule_context(scheduled_execution_time=night, resources=resources) as context:
        answer = nightly_reconcile(context)
    assert isinstance(answer, dg.RunRequest | dg.SkipReason)
    return answer


def test_the_night_asks_for_one_run_over_everything(tmp_path: Path) -> None:
    request = asked(Archive(tmp_path).root)
    assert isinstance(request, dg.RunRequest)
    assert request.run_key == "2030-01-02T02:30"
    assert request.tags["thumb_pipeline/lane"] == "maintenance"
    job = build_definitions(library=str(tmp_path)).resolve_job_def("generate")
    assert dg.validate_run_config(job, request.run_config)


def test_without_a_library_the_night_says_so(tmp_path: Path) -> None:
    skipped = asked(tmp_path / "absent")
    assert isinstance(skipped, dg.SkipReason)
    assert "is not there" in str(skipped.skip_message)


def test_sensor_and_schedule_are_on_from_the_beginning() -> None:
    repository = build_definitions().get_repository_def()
    assert {s.name: s.default_status.value for s in repository.sensor_defs} == {"new_captures_sensor": "RUNNING"}
    schedules = {s.name: s.default_status.value for s in repository.schedule_defs}
    assert schedules.pop("nightly_trash") == "STOPPED"
    assert set(schedules.values()) == {"RUNNING"}
    assert "nightly_reconcile" in schedules
