"""A camera whose folder cannot be read: what runs by themselves do without it, and say."""

from typing import Any

import dagster as dg
import pytest

from thumb_pipeline.defs import sensors
from thumb_pipeline.defs.jobs.new_captures import new_captures
from thumb_pipeline.defs.resources import LibraryResource
from thumb_pipeline.stages.rendering import work_orders
from thumb_pipeline_tests.defs.conftest import KEYS, Located

pytestmark = pytest.mark.quick

OTHER = KEYS[2]


@pytest.fixture(params=["not-mounted", "camera-1"])
def unreachable(located: Located, request: pytest.FixtureRequest) -> Located:
    """Camera-1 is a link to nothing or to itself, and camera-2 has a new frame."""
    located.archive.frame("new.jpg", key=OTHER)
    camera = located.archive.root / "cameras" / "camera-1"
    camera.rename(located.archive.root / "its-disk")
    camera.symlink_to(request.param)
    return located


def why(result: dg.ExecuteInProcessResult, node: str) -> str:
    failure: Any = result.failure_data_for_node(node)
    return str(failure.user_failure_data.description)


def test_the_nightly_run_makes_the_others_and_names_the_camera_at_its_end(unreachable: Located) -> None:
    result = unreachable.job("generate", success=False, go_on_without_refused=True)
    assert unreachable.archive.variant("new.jpg", key=OTHER).exists()
    said = why(result, "report_order")
    assert said.startswith("these were refused; everything else is done:\ncamera-1: ")
    assert "check the disk" in said
    assert unreachable.archive.inventory(KEYS[0]).height == 2
    assert unreachable.partitions() == set(KEYS)
    assert work_orders.list_placed(unreachable.archive.library) == []


def test_a_whole_run_that_was_not_told_to_go_on_is_refused(unreachable: Located) -> None:
    result = unreachable.job("generate", success=False)
    assert "camera-1 cannot be read" in why(result, "take_order")
    assert not unreachable.archive.variant("new.jpg", key=OTHER).exists()


def test_a_run_of_another_camera_is_done(unreachable: Located) -> None:
    unreachable.materialize("thumbnails", partition_key=OTHER)
    assert unreachable.archive.variant("new.jpg", key=OTHER).exists()


def test_a_backfill_marks_the_others_and_names_the_timelapses_of_the_camera(unreachable: Located) -> None:
    tags = {"dagster/asset_partition_range_start": KEYS[0], "dagster/asset_partition_range_end": KEYS[-1]}
    result = unreachable.materialize("thumbnails", success=False, tags=tags)
    assert all(f"{key}: " in why(result, "thumbnails.fold_chunks") for key in KEYS[:2])
    assert unreachable.archive.variant("new.jpg", key=OTHER).exists()
    assert unreachable.instance.get_materialized_partitions(dg.AssetKey("thumbnails")) == {OTHER}


def test_beside_a_run_for_new_captures_the_sensor_names_the_camera_and_registers_the_others(
    unreachable: Located, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensors, "_TICK_S", 0.4)
    unreachable.archive.frame("a.jpg", key="camera-2/timelapse-9")
    unreachable.instance.create_run_for_job(new_captures, status=dg.DagsterRunStatus.STARTING)
    resources = {"library": LibraryResource(root=str(unreachable.archive.root))}
    with dg.build_sensor_context(instance=unreachable.instance, resources=resources) as context:
        result: Any = sensors.new_captures_sensor(context)
    assert [list(request.partition_keys) for request in result.dynamic_partitions_requests] == [
        ["camera-2/timelapse-9"]
    ]
    assert "camera-1: " in str(result.skip_reason)
