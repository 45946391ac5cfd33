"""Runs whose process is gone; leases are real files that nobody holds."""

import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from thumb_pipeline.definitions import build_definitions
from thumb_pipeline.defs.runs import lost_runs
from thumb_pipeline.defs.runs.in_flight import attending_for_s, unfinished_run_ids
from thumb_pipeline.defs.runs.lost_runs import ask_again_for_lost_retries, end_lost_runs, lease_of
from thumb_pipeline.defs.runs.words import CAPTURES_JOB
from thumb_pipeline.stages.library import clean_up
from thumb_pipeline.storage import leases
from thumb_pipeline_tests.defs.conftest import QUIET
from thumb_pipeline_tests.shifted_clock import clock_ahead
from thumb_pipeline_tests.stages.archives import Archive

pytestmark = [pytest.mark.daemon, pytest.mark.both_storages]

Status = dg.DagsterRunStatus


@pytest.fixture
def generate() -> dg.JobDefinition:
    return build_definitions().resolve_job_def("generate")


def killed_lease(archive: Archive, lease_id: str = "0badcafe") -> leases.Lease:
    folder = Path(archive.library.lease_folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{lease_id}.lease").write_text("")
    return leases.Lease(lease_id, -1)


def run_with(
    lease: leases.Lease, instance: dg.DagsterInstance, job: dg.JobDefinition, status: Status, **options: Any
) -> str:
    run_id = instance.create_run_for_job(job, status=status, **options).run_id
    instance.add_run_tags(run_id, {clean_up.LEASE_TAG: clean_up.lease_tag(lease, run_id)})
    return run_id


def run_of(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRun:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run


def failures(instance: dg.DagsterInstance, run_id: str) -> int:
    return len(instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.RUN_FAILURE).records)


@pytest.mark.parametrize("status", [Status.NOT_STARTED, Status.STARTING, Status.STARTED])
def test_a_killed_run_is_failed_and_waits_for_its_retry(
    archive: Archive, instance: dg.DagsterInstance, generate: dg.JobDefinition, status: Status
) -> None:
    run_id = run_with(killed_lease(archive), instance, generate, status)
    end_lost_runs(archive.library, instance)
    run = run_of(instance, run_id)
    assert (run.status, run.tags["dagster/will_retry"]) == (Status.FAILURE, "true")


def test_a_killed_run_that_was_to_be_cancelled_is(
    archive: Archive, instance: dg.DagsterInstance, generate: dg.JobDefinition
) -> None:
    run_id = run_with(killed_lease(archive), instance, generate, Status.CANCELING)
    end_lost_runs(archive.library, instance)
    assert run_of(instance, run_id).status == Status.CANCELED


def test_living_and_foreign_runs_are_left_alone(
    archive: Archive, instance: dg.DagsterInstance, generate: dg.JobDefinition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lost_runs, "_SILENT_S", 0.0)
    foreign = instance.create_run_for_job(dg.JobDefinition(graph_def=dg.GraphDefinition(name="other")))
    with archive.library.lease() as lease:
        living = run_with(lease, instance, generate, Status.STARTED)
        end_lost_runs(archive.library, instance)
    assert run_of(instance, living).status == Status.STARTED
    assert run_of(instance, foreign.run_id).status == Status.NOT_STARTED


def test_a_run_that_bears_a_copy_of_a_dead_runs_tag_is_not_taken_for_it(
    archive: Archive, instance: dg.DagsterInstance, generate: dg.JobDefinition
) -> None:
    first = run_with(killed_lease(archive), instance, generate, Status.STARTED)
    tags = {clean_up.LEASE_TAG: run_of(instance, first).tags[clean_up.LEASE_TAG]}
    repeats = {"parent_run_id": first, "root_run_id": first}
    second = instance.create_run_for_job(generate, status=Status.STARTED, tags=tags, **repeats)
    end_lost_runs(archive.library, instance)
    assert run_of(instance, second.run_id).status == Status.STARTED
    assert first in unfinished_run_ids(instance)  # its order of work is that of the second


def test_a_run_of_ours_that_lost_its_process_before_it_had_a_lease_ends_after_a_silence(
    archive: Archive, instance: dg.DagsterInstance, generate: dg.JobDefinition, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = instance.create_run_for_job(generate, status=Status.STARTED, tags=dict(generate.tags)).run_id
    end_lost_runs(archive.library, instance)
    assert run_of(instance, run_id).status == Status.STARTED
    monkeypatch.setattr(lost_runs, "_SILENT_S", 0.0)
    end_lost_runs(archive.library, instance)
    assert run_of(instance, run_id).status == Status.FAILURE


def test_a_run_whose_last_word_lies_in_the_future_is_silent(
    archive: Archive, instance: dg.DagsterInstance, generate: dg.JobDefinition
) -> None:
    with archive.library.lease() as given_back:
        pass
    with clock_ahead(days=400):
        run_id = run_with(given_back, instance, generate, Status.STARTED)
        instance.report_engine_event("on its way", run_of(instance, run_id))
        end_lost_runs(archive.library, instance)
        assert run_of(instance, run_id).status == Status.STARTED  # there may be more to come
    end_lost_runs(archive.library, instance)
    assert run_of(instance, run_id).status == Status.FAILURE


@pytest.mark.parametrize("status", [Status.NOT_STARTED, Status.STARTING])
def test_a_run_that_was_to_start_in_the_future_starts_no_more(
    archive: Archive, instance: dg.DagsterInstance, generate: dg.JobDefinition, status: Status
) -> None:
    with clock_ahead(days=400):
        run = instance.create_run_for_job(generate, status=status, tags=dict(generate.tags))
        instance.report_engine_event("on its way", run)
        end_lost_runs(archive.library, instance)
        assert run_of(instance, run.run_id).status == status  # its start time-out counts
    end_lost_runs(archive.library, instance)
    assert run_of(instance, run.run_id).status == Status.FAILURE


def test_a_retry_that_was_lost_in_the_future_is_asked_for_once_more(
    archive: Archive, instance: dg.DagsterInstance, generate: dg.JobDefinition
) -> None:
    with clock_ahead(days=400):
        run_id = run_with(killed_lease(archive), instance, generate, Status.STARTED)
        end_lost_runs(archive.library, instance)
        ask_again_for_lost_retries(instance)
        assert failures(instance, run_id) == 1
    for _ in range(2):
        ask_again_for_lost_retries(instance)
    assert failures(instance, run_id) == 2


def test_a_run_for_new_captures_that_began_in_the_future_has_no_age_below_zero(
    archive: Archive, instance: dg.DagsterInstance
) -> None:
    seen: dict[str, float] = {}

    @dg.op
    def look() -> None:
        with clock_ahead(days=-400):
            seen.update(attending_for_s(instance, archive.library))

    @dg.job(name=CAPTURES_JOB, executor_def=dg.in_process_executor)
    def job() -> None:
        look()

    with clock_ahead(days=400):
        run_id = job.execute_in_process(instance=instance).run_id
    assert seen == {run_id: 0.0}


@pytest.mark.parametrize("job", ["generate", "verify", "statistics", "sweep"])
def test_every_run_names_its_lease_and_gives_it_back(archive: Archive, instance: dg.DagsterInstance, job: str) -> None:
    archive.frame("a.jpg")
    definition = build_definitions(library=str(archive.root)).resolve_job_def(job)
    done = definition.execute_in_process(instance=instance, run_config=QUIET)
    assert lease_of(run_of(instance, done.run_id)) is not None
    assert list(Path(archive.library.lease_folder).iterdir()) == []


def test_what_was_refused_is_not_repeated(archive: Archive, instance: dg.DagsterInstance) -> None:
    archive.frame("a.jpg")
    definition = build_definitions(library=str(archive.root)).resolve_job_def("generate")
    config = {**QUIET, "ops": {"take_order": {"config": {"timelapses": ["camera-9/timelapse-9"]}}}}
    done = definition.execute_in_process(instance=instance, run_config=config, raise_on_error=False)
    run = run_of(instance, done.run_id)
    assert (run.status, run.tags["dagster/will_retry"]) == (Status.FAILURE, "false")


def test_a_library_that_is_gone_fails_the_run_with_its_words(archive: Archive, instance: dg.DagsterInstance) -> None:
    root = archive.library.root
    shutil.rmtree(archive.root / "cameras")
    (archive.root / "thumbs.toml").unlink()  # the state folder stays: Dagster's records may be in it
    definition = build_definitions(library=root).resolve_job_def("verify")
    done = definition.execute_in_process(instance=instance, run_config=QUIET, raise_on_error=False)
    (failed,) = [event for event in done.all_events if event.is_step_failure]
    told = failed.step_failure_data.user_failure_data
    assert told is not None
    assert root in str(told.description)


def test_a_retry_that_the_daemon_lost_is_asked_for_once_more(
    archive: Archive, instance: dg.DagsterInstance, generate: dg.JobDefinition, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = run_with(killed_lease(archive), instance, generate, Status.STARTED)
    end_lost_runs(archive.library, instance)
    ask_again_for_lost_retries(instance)
    assert failures(instance, run_id) == 1  # the daemon may be about to
    monkeypatch.setattr(lost_runs, "_RETRY_WITHIN", lost_runs._RETRY_WITHIN * 0)
    for _ in range(2):
        ask_again_for_lost_retries(instance)
    assert failures(instance, run_id) == 2
    assert run_of(instance, run_id).tags["dagster/will_retry"] == "true"


def test_a_retry_that_took_place_is_not_asked_for_again(
    archive: Archive, instance: dg.DagsterInstance, generate: dg.JobDefinition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lost_runs, "_RETRY_WITHIN", lost_runs._RETRY_WITHIN * 0)
    run_id = run_with(killed_lease(archive), instance, generate, Status.STARTED)
    end_lost_runs(archive.library, instance)
    instance.add_run_tags(run_id, {"dagster/auto_retry_run_id": "another"})
    ask_again_for_lost_retries(instance)
    assert failures(instance, run_id) == 1
