"""The reports, the job `verify` and the checks, on an instance and real files."""

import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from thumb_pipeline.cli.dagster.instance import instance_settings
from thumb_pipeline.definitions import build_definitions
from thumb_pipeline.stages.verification.health import Question
from thumb_pipeline_tests.defs.conftest import KEYS, Located, numbers

pytestmark = pytest.mark.daemon

ALL_CHECKS = {question.value for question in Question}
RANGE = {"dagster/asset_partition_range_start": KEYS[0], "dagster/asset_partition_range_end": KEYS[-1]}


def rows(shown: Any) -> list[dict[str, Any]]:
    return [dict(record.data) for record in shown.records]


def test_the_verification_report_says_in_words_numbers_and_rows_what_is_missing(located: Located) -> None:
    located.archive.variant("a.jpg", key=KEYS[1]).unlink()
    said = numbers(located.materialize("verification_report", partition_key=KEYS[1]), "verification_report")
    assert said["summary"] == "2/2 thumbnails valid; 1/2 smalls valid, 1 missing"
    assert (said["sources"], said["valid"], said["missing"]) == (2, 3, 1)
    assert (said["small_count_recorded"], said["small_count_found"]) == (2, 1)
    assert said["dagster/row_count"] == 1
    assert rows(said["first_findings"]) == [{"finding": "missing", "file": "a.jpg", "variant": "small"}]
    assert f"thumb-pipeline generate --timelapse {KEYS[1]}" in said["to_put_it_right"]


def test_the_orphan_report_alone_lists_afresh_and_names_bytes_kind_and_evidence(located: Located) -> None:
    located.archive.path("a.jpg", KEYS[0]).unlink()
    stray = located.archive.variant("a.jpg", key=KEYS[0]).parent / "notes.txt"
    stray.write_bytes(b"12345")
    said = numbers(located.materialize("orphan_report", partition_key=KEYS[0]), "orphan_report")
    assert said["orphans"] == 3
    assert (said["kind/source_gone"], said["kind/unparsable_name"]) == (2, 1)
    shown = {row["file"]: row for row in rows(said["largest_orphans"])}
    assert shown["smalls/notes.txt"] == {
        "file": "smalls/notes.txt",
        "n_bytes": 5,
        "age_days": 0.0,
        "kind": "unparsable_name",
        "evidence": "none",
        "source": "-",
    }
    assert shown["smalls/a.jpg_small.jpg"]["source"] == "a.jpg"


def test_several_timelapses_in_one_run_have_a_row_each_and_the_worst_comes_first(located: Located) -> None:
    located.archive.variant("a.jpg", key=KEYS[1]).unlink()
    result = located.materialize("verification_report", "orphan_report", tags=RANGE)
    events = [event for event in result.all_events if event.is_step_materialization]
    assert {event.partition for event in events} == set(KEYS)
    shown = events[0].step_materialization_data.materialization.metadata["by_timelapse"].value
    assert [row["timelapse"] for row in rows(shown)] == [KEYS[1], KEYS[0], KEYS[2]]


def test_folders_that_belong_to_no_timelapse_are_named(located: Located) -> None:
    (located.archive.root / "cameras" / "old stuff").mkdir()
    said = numbers(located.materialize("unknown_folders"), "unknown_folders")
    assert said["folders"] == 1
    assert rows(said["first_folders"])[0]["folder"] == "cameras/old stuff"


def test_checks_are_red_until_every_timelapse_was_verified_and_green_when_all_are_right(located: Located) -> None:
    located.materialize("verification_report", partition_key=KEYS[0])
    assert located.red() == ALL_CHECKS
    for key in KEYS[1:]:
        located.materialize("verification_report", partition_key=key)
    assert located.red() == set()


def test_the_good_partition_that_is_materialized_last_does_not_turn_a_bad_one_green(located: Located) -> None:
    located.job("verify")
    located.archive.variant("a.jpg", key=KEYS[0]).write_bytes(b"cut")
    for key in (KEYS[0], KEYS[2]):
        located.materialize("verification_report", partition_key=key)
    assert located.red() == {"intact"}
    located.job("generate")
    located.materialize("verification_report", partition_key=KEYS[0])
    assert located.red() == set()


def test_the_job_verifies_any_timelapses_and_answers_for_all(located: Located) -> None:
    located.job("verify")
    assert located.red() == set()
    located.archive.variant("a.jpg", key=KEYS[0]).unlink()
    located.archive.variant("a.jpg", "thumbnail", key=KEYS[1]).unlink()
    result = located.job("verify", timelapses=[KEYS[0]])
    assert located.red() == {"complete"}
    assert result.output_for_node("verify_timelapses")["missing"] == 1
    assert numbers(result, "verification_report")["missing"] == 1


def test_the_job_reports_each_timelapse_once_and_again_when_something_is_new(located: Located) -> None:
    located.job("verify")
    assert located.n_reported() == 3
    located.job("verify")
    assert located.n_reported() == located.n_reported("orphan_report") == 3
    located.archive.variant("a.jpg", key=KEYS[1]).unlink()
    located.job("verify")
    assert located.n_reported() == 4
    located.archive.variant("a.jpg", key=KEYS[1]).with_name("b.jpg_small.jpg").unlink()
    located.archive.run()
    located.job("verify")
    assert located.n_reported() == 5


def test_another_instance_is_told_everything(located: Located, tmp_path: Path) -> None:
    located.job("verify")
    (tmp_path / "dagster.yaml").write_text(instance_settings())
    with dg.DagsterInstance.from_config(str(tmp_path)) as another:
        Located(located.archive, another).job("verify")
        assert Located(located.archive, another).n_reported() == 3


def test_the_orphan_report_alone_turns_its_check_green_again(located: Located) -> None:
    stray = located.archive.variant("a.jpg", key=KEYS[0]).with_name("notes.txt")
    stray.write_bytes(b"x")
    located.job("verify")
    assert located.red() == {"no_orphans"}
    stray.unlink()
    located.materialize("orphan_report", partition_key=KEYS[0])
    assert located.red() == set()


def test_an_unknown_timelapse_fails_the_job_with_those_that_are_like_it(located: Located) -> None:
    result = located.job("verify", timelapses=["camera-1/timelapse-11"], success=False)
    (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert failure.user_failure_data is not None
    assert "did you mean camera-1/timelapse-1" in str(failure.user_failure_data.description)


def test_a_check_names_the_worst_timelapses_and_the_command(located: Located) -> None:
    located.archive.variant("a.jpg", key=KEYS[1]).unlink()
    result = located.job("verify")
    (complete,) = [one for one in result.get_asset_check_evaluations() if one.check_name == "complete"]
    assert complete.description == "1 variant missing, in 1 of 3 timelapses"
    said = {name: value.value for name, value in complete.metadata.items()}
    assert said["to_put_it_right"] == f"thumb-pipeline generate --timelapse {KEYS[1]}"
    assert [row["timelapse"] for row in rows(said["worst_timelapses"])] == [KEYS[1]]


def test_a_disk_that_is_not_there_is_red_and_stays_it_until_the_loss_is_accepted(located: Located) -> None:
    located.job("verify")
    shutil.rmtree(located.archive.frames(KEYS[2]).parent)
    located.job("verify")
    assert located.red() == {"complete"}
    assert located.partitions() == set(KEYS)
    located.job("generate", accept_shrink=True)
    assert located.partitions() == set(KEYS[:2])
    located.job("verify")
    assert located.red() == set()


def test_pictures_on_demand_go_first_then_captures_then_regeneration_then_maintenance() -> None:
    definitions = build_definitions()
    priorities = {job.name: job.tags.get("dagster/priority") for job in definitions.resolve_all_job_defs()}
    del priorities["__ASSET_JOB"]
    first = [priorities.pop(name) for name in ("generate_on_demand", "new_captures", "generate")]
    assert first == ["20", "10", "0"]
    assert set(priorities.values()) == {"-10"}


def test_what_runs_at_night_by_default_removes_nothing() -> None:
    on = {
        schedule.job_name
        for schedule in build_definitions().schedules or []
        if isinstance(schedule, dg.ScheduleDefinition) and schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    }
    assert on == {"generate", "verify", "verify_rolling", "statistics", "forget_runs"}  # the last: old records of runs


@pytest.mark.parametrize("name", sorted(ALL_CHECKS))
def test_every_check_says_what_it_promises_and_that_it_speaks_of_all(name: str) -> None:
    graph = build_definitions().resolve_asset_graph()
    (key,) = [key for key in graph.asset_check_keys if key.name == name]
    described = graph.get_check_spec(key).description
    assert described is not None
    assert "never verified" in described
