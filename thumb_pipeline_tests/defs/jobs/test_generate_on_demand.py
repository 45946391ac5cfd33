"""`generate_on_demand`: named sources and no others, at once, whatever else runs."""

from pathlib import Path

import dagster as dg
import pytest

from thumb_pipeline.definitions import build_definitions
from thumb_pipeline.stages.rendering import on_demand
from thumb_pipeline_tests.stages.archives import KEY, Archive

pytestmark = pytest.mark.quick


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    archive = Archive(tmp_path / "library")
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        archive.frame(name)
    return archive


def asked(archive: Archive, instance: dg.DagsterInstance, **config: object) -> dg.ExecuteInProcessResult:
    job = build_definitions(library=str(archive.root)).resolve_job_def("generate_on_demand")
    run_config = {"ops": {"render_named": {"config": {"timelapse": KEY, **config}}}}
    return job.execute_in_process(run_config=run_config, instance=instance, raise_on_error=False)


def why(result: dg.ExecuteInProcessResult) -> str:
    failure = result.failure_data_for_node("render_named")
    assert failure is not None
    assert failure.user_failure_data is not None
    return str(failure.user_failure_data.description)


def test_what_is_named_is_rendered_and_nothing_else(archive: Archive, instance: dg.DagsterInstance) -> None:
    result = asked(archive, instance, sources=["a.jpg", "b.jpg"])
    assert result.output_for_node("render_named") == {"rendered": 4, "unchanged": 0, "failed": 0, "pending": 0}
    assert archive.variant("a.jpg").exists()
    assert not archive.variant("c.jpg").exists()
    assert instance.get_dynamic_partitions("timelapse") == [KEY]
    logged = [
        event.step_materialization_data.materialization for event in result.all_events if event.is_step_materialization
    ]
    assert {event.asset_key.to_user_string() for event in logged} == {
        "image_inventory",
        "missing_thumbnails",
        "thumbnails",
    }


def test_what_is_right_is_left_alone_unless_forced(archive: Archive, instance: dg.DagsterInstance) -> None:
    archive.run()
    again = asked(archive, instance, sources=["a.jpg"])
    assert again.output_for_node("render_named")["unchanged"] == 2
    forced = asked(archive, instance, sources=["a.jpg"], variants=["small"], force=True)
    assert forced.output_for_node("render_named")["rendered"] == 1


def test_a_source_that_cannot_be_rendered_is_counted_as_failed(archive: Archive, instance: dg.DagsterInstance) -> None:
    archive.other("bad.jpg", b"\xff\xd8\xff" + bytes(20) + b"\xff\xd9")
    result = asked(archive, instance, sources=["bad.jpg", "a.jpg"])
    assert result.output_for_node("render_named") == {"rendered": 2, "unchanged": 0, "failed": 1, "pending": 0}


def test_a_name_that_is_not_there_is_refused(archive: Archive, instance: dg.DagsterInstance) -> None:
    assert 'no source "d.jpg"' in why(asked(archive, instance, sources=["d.jpg"]))


def test_no_names_do_not_mean_all(archive: Archive, instance: dg.DagsterInstance) -> None:
    assert "no source is named" in why(asked(archive, instance, sources=[]))
    assert archive.manifest().is_empty()


def test_more_than_a_page_of_pictures_is_refused(
    archive: Archive, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_demand, "MOST_SOURCES", 1)
    assert "2 sources are named" in why(asked(archive, instance, sources=["a.jpg", "b.jpg"]))


def test_no_pool_holds_it_up() -> None:
    job = build_definitions().resolve_job_def("generate_on_demand")
    assert job.tags["dagster/priority"] == "20"
    assert not any(node.definition.pools for node in job.graph.nodes)
