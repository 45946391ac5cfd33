"""What anybody can give Dagster by its page (partitions, tags, cursors, run config) is named, and costs nobody else."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thumb_pipeline.cli.dagster import runs
from thumb_pipeline.definitions import build_definitions
from thumb_pipeline.defs import sensors
from thumb_pipeline.defs.runs.lost_runs import end_lost_runs, lease_of
from thumb_pipeline.defs.settings_trouble import read_cursor, with_note
from thumb_pipeline.stages.captures import memory
from thumb_pipeline.stages.library import clean_up
from thumb_pipeline.stages.library.open import open_library
from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline_tests.defs.conftest import KEYS, QUIET, Located
from thumb_pipeline_tests.defs.jobs.test_generate_on_demand import asked
from thumb_pipeline_tests.defs.test_sensors import partition_changes, tick
from thumb_pipeline_tests.stages.archives import Archive, states

pytestmark = pytest.mark.daemon

STRANGE = ["../../cameras", "..", "camera-1", "library/all", "x\n\x1b[2J", "camera-1/timelapse-1/../../..", "a" * 400]


@pytest.fixture
def with_strange(located: Located) -> Located:
    """The same, with partitions that somebody added who knows no timelapse, before and behind the real ones."""
    located.instance.add_dynamic_partitions("timelapse", STRANGE)
    return located


def description(result: dg.ExecuteInProcessResult) -> str:
    """Why a run failed, in the words of what was raised on purpose."""
    failures = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert failures
    assert all(failure.user_failure_data is not None for failure in failures), failures[0].error
    return " ".join(str(failure.user_failure_data.description) for failure in failures if failure.user_failure_data)


ASSETS = ["image_inventory", "missing_thumbnails", "thumbnails", "verification_report"]


def test_a_partition_that_is_no_timelapse_reaches_no_path(with_strange: Located) -> None:
    root = with_strange.archive.root
    before = states(root / "cameras")
    for asset, key in [*((asset, STRANGE[0]) for asset in ASSETS), *((ASSETS[0], key) for key in STRANGE[1:])]:
        result = with_strange.materialize(asset, partition_key=key, success=False)
        assert "no timelapse has such a key" in description(result)
        assert description(result).isprintable()
    assert states(root / "cameras") == before
    assert {path.name for path in root.parent.iterdir()} <= {"library"}
    datasets = Path(with_strange.archive.library.state, "datasets")
    assert {path.name for path in datasets.glob("*/*")} <= {"camera-1", "camera-2", "library"}


def test_a_run_over_many_does_the_timelapses_among_them(with_strange: Located) -> None:
    with_strange.archive.frame("new.jpg", key=KEYS[0], color=9)
    everything = {"dagster/asset_partition_range_start": KEYS[0], "dagster/asset_partition_range_end": STRANGE[-1]}
    for asset in ASSETS:
        with_strange.materialize(asset, tags=everything)
    assert with_strange.archive.variant("new.jpg", key=KEYS[0]).exists()
    assert with_strange.archive.inventory(KEYS[0]).height == 3


def test_the_sensor_deletes_them_and_goes_on(with_strange: Located) -> None:
    result = tick(with_strange.archive, with_strange.instance)
    assert partition_changes(result) == [("Del", sorted(STRANGE))]
    library = with_strange.archive.library
    assert not (Path(library.state) / "cameras").exists()


def test_the_sensor_says_nothing_of_them_while_a_folder_cannot_be_read(with_strange: Located) -> None:
    camera = with_strange.archive.root / "cameras" / "camera-2"
    camera.rename(camera.with_name("elsewhere"))
    camera.symlink_to("not mounted")
    assert partition_changes(tick(with_strange.archive, with_strange.instance)) == [("Del", sorted(STRANGE))]


def test_a_verification_retires_them_and_no_other(with_strange: Located) -> None:
    with_strange.job("verify")
    assert with_strange.partitions() == set(KEYS)
    assert with_strange.red() == set()


def test_an_inventory_that_cannot_be_read_retires_nothing_and_stops_no_tick(located: Located) -> None:
    located.archive.settings(more="[captures]\nkeep_warm = false")
    library = located.archive.library
    (file,) = Path(library.state, "datasets/inventory", KEYS[0]).glob("*.parquet")
    file.write_bytes(b"no table")
    gone = located.archive.root / "cameras" / KEYS[0]
    gone.rename(located.archive.root / "gone")
    located.instance.add_dynamic_partitions("timelapse", ["camera-9/timelapse-9"])
    result = tick(located.archive, located.instance)
    assert partition_changes(result) == [("Del", ["camera-9/timelapse-9"])]
    assert f"not on the disk ({KEYS[0]})" in str(result.skip_reason)


CURSORS = [
    *("", "null", "[]", "7", "{", '"attempts"', "[" * 100_000, '{"a":' * 100_000, "9" * 5_000, "NaN", "\ud800"),
    *('{"attempts": NaN}', '{"attempts": Infinity}', '{"attempts": 1e999}', '{"attempts": -1}', '{"attempts": true}'),
    *('{"attempts": "many"}', '{"attempts": [1]}', '{"attempts": 1' + "0" * 4_000 + "}", '{"settings": {"a": [null]}}'),
]


@pytest.mark.parametrize("cursor", CURSORS, ids=lambda cursor: ascii(cursor[:20]))
def test_a_cursor_of_any_text_is_read_as_far_as_it_is_ours(cursor: str, tmp_path: Path) -> None:
    library = Archive(tmp_path / "library").library
    with memory.watching(library):
        memory.place_list(library, "1-00000a", {})
    with dg.build_sensor_context(cursor=cursor) as context:
        found = sensors._read_cursor(context, library)
    assert 1 <= found.attempts < 1_000_000
    assert set(json.loads(with_note(library, cursor))) <= {"settings", "attempts", "asked_at_s"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=100, deadline=None)
@given(
    st.one_of(st.text(max_size=30), JSON.map(json.dumps), st.dictionaries(st.just("attempts"), JSON).map(json.dumps))
)
def test_any_cursor_is_an_object_or_nothing(cursor: str) -> None:
    assert isinstance(read_cursor(cursor), dict)


LEASES = ["../../x", "", "/etc/passwd", "\n", "\ud800", "0badcafe/..", "g" * 8, "a" * 5_000, "0badcafe\0"]


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING])
def test_a_tag_that_names_no_lease_stops_nobody(
    archive: Archive, instance: dg.DagsterInstance, status: dg.DagsterRunStatus
) -> None:
    Path(archive.library.lease_folder).mkdir(parents=True)
    job = build_definitions(library=str(archive.root)).resolve_job_def("generate")
    for lease in LEASES:
        run_id = instance.create_run_for_job(job, status=status).run_id
        run = instance.get_run_by_id(run_id)
        assert run is not None
        assert lease_of(run.with_tags({clean_up.LEASE_TAG: f"{lease}@{run_id}"})) is None
        if lease.isprintable():
            instance.add_run_tags(run_id, {clean_up.LEASE_TAG: f"{lease}@{run_id}"})
    end_lost_runs(archive.library, instance)
    assert len(runs.unfinished_runs(archive.library, instance)) == len(LEASES)


def test_tags_of_any_text_are_shown_without_what_moves_a_terminal(
    archive: Archive, instance: dg.DagsterInstance
) -> None:
    job = build_definitions(library=str(archive.root)).resolve_job_def("generate")
    tags = {"thumb_pipeline/lane": "\x1b[2J" + "x" * 500, "dagster/backfill": "\n\x07"}
    instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTING, tags=tags)
    (seen,) = runs.unfinished_runs(archive.library, instance)
    assert seen.lane.isprintable()
    assert len(seen.lane) <= 100
    assert seen.backfill_id is not None
    assert seen.backfill_id.isprintable()


NAMES = [
    "100%.jpg",
    "%2F",
    "%GG",
    "../../x",
    "a/b",
    "/etc/passwd",
    "\ud800",
    "%ED%A0%80\ud800",
    "x" * 5_000,
    "",
    ".",
    "..",
]


def test_a_source_that_is_no_name_is_refused(archive: Archive, instance: dg.DagsterInstance) -> None:
    archive.frame("a.jpg")
    for name in NAMES:
        with pytest.raises(Refused) as told:
            archive.plan(timelapses=(KEYS[0],), sources=("a.jpg", name))
        assert "no source" in str(told.value) or "is no name of a source" in str(told.value)
        assert str(told.value).isprintable()
    result = asked(archive, instance, sources=["a.jpg", NAMES[6]])
    assert "is no name of a source" in description(result)


@pytest.mark.parametrize("field", ["timelapse", "variants"])
def test_other_names_in_the_run_config_are_refused_in_words_that_can_be_shown(
    archive: Archive, instance: dg.DagsterInstance, field: str
) -> None:
    archive.frame("a.jpg")
    for value in ("../../cameras", "\ud800\x1b[2J" + "x" * 5_000):
        config: dict[str, Any] = {"sources": ["a.jpg"], field: [value] if field == "variants" else value}
        result = asked(archive, instance, **config)
        assert f"no {field.removesuffix('s')}" in description(result)
        assert description(result).isprintable()
    assert open_library(str(archive.root)).manifest.keys() == []


def test_a_slice_that_was_damaged_while_a_run_was_at_it_is_named(located: Located) -> None:
    located.archive.frame("new.jpg", key=KEYS[0], color=9)
    job = build_definitions(library=str(located.archive.root)).resolve_job_def("verify")
    for table in ("verdicts", "findings"):
        located.job("verify")
        for file in Path(located.archive.library.state, "datasets", table).rglob("*.parquet"):
            file.write_bytes(b"no table")
        result = job.execute_in_process(instance=located.instance, run_config=QUIET, raise_on_error=False)
        assert not result.success
        assert f"datasets/{table}/" in description(result)
        for file in Path(located.archive.library.state, "datasets", table).rglob("*.parquet"):
            file.unlink()
