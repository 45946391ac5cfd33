"""Runs over many timelapses, as backfills make them: how they are cut, what they report, what a repeated one does."""

import shutil
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from thumb_pipeline.definitions import build_definitions
from thumb_pipeline.defs.jobs.generate import place_order, report_order
from thumb_pipeline.defs.resources import LibraryResource, ProgressResource
from thumb_pipeline.defs.runs.backfills import Resumed
from thumb_pipeline.stages.inventory.selection import Selection
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.library.open import open_library
from thumb_pipeline.stages.rendering import work_orders
from thumb_pipeline.stages.rendering.chunk import render_chunk
from thumb_pipeline_tests.defs.conftest import KEYS, QUIET, Located
from thumb_pipeline_tests.stages.archives import run_id as id_of

pytestmark = [pytest.mark.daemon, pytest.mark.both_storages]

RANGE = {"dagster/asset_partition_range_start": KEYS[0], "dagster/asset_partition_range_end": KEYS[-1]}
FORCE = {"ops": {"thumbnails": {"ops": {"cut_plan": {"config": {"force": True}}}}}}
THUMBNAILS = dg.AssetKey("thumbnails")


@pytest.fixture
def library(located: Located) -> Library:
    return open_library(str(located.archive.root))


def forced(located: Located, *, success: bool = True, **options: Any) -> dg.ExecuteInProcessResult:
    """Renders all timelapses again, in one run."""
    job = build_definitions(library=str(located.archive.root)).resolve_implicit_global_asset_job_def()
    found = job.execute_in_process(
        instance=located.instance,
        asset_selection=[THUMBNAILS],
        run_config={**QUIET, **FORCE},
        tags=RANGE,
        raise_on_error=False,
        **options,
    )
    assert found.success == success
    return found


def events_of(result: dg.ExecuteInProcessResult) -> list[dg.AssetMaterialization]:
    made = [event.step_materialization_data for event in result.all_events if event.is_step_materialization]
    return [data.materialization for data in made]


def test_assets_that_are_backfilled_together_share_their_runs() -> None:
    graph = build_definitions().resolve_asset_graph()
    names = ("image_inventory", "missing_thumbnails", "thumbnails", "verification_report", "orphan_report")
    policies = {graph.get(dg.AssetKey(name)).backfill_policy for name in names}
    assert len(policies) == 1
    assert None not in policies


def test_a_run_over_many_tells_its_sums_to_each_and_its_table_once(located: Located) -> None:
    result = forced(located)
    assert {event.partition for event in events_of(result)} == set(KEYS)
    for event in events_of(result):
        assert event.metadata["rendered"].value == 12
        assert event.metadata["timelapses_in_run"].value == 3
        assert "by_timelapse" not in event.metadata
    [told] = located.instance.fetch_observations(THUMBNAILS, limit=10).records
    assert told.asset_observation is not None
    shown = told.asset_observation.metadata["by_timelapse"]
    assert isinstance(shown, dg.TableMetadataValue)
    assert [(row.data["timelapse"], row.data["rendered"]) for row in shown.records] == [
        (key, 4) for key in sorted(KEYS)
    ]


def test_a_run_of_the_ui_enters_the_lane_of_regeneration(located: Located) -> None:
    result = forced(located)
    run = located.instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags["thumb_pipeline/lane"] == "regeneration"


def test_a_refused_timelapse_fails_the_run_and_stops_no_other(located: Located, library: Library) -> None:
    shutil.rmtree(library.frames(KEYS[1]))
    result = forced(located, success=False)
    found = located.instance.fetch_materializations(THUMBNAILS, limit=10).records
    done = [record.asset_materialization for record in found if record.asset_materialization]
    assert {made.partition: made.metadata["rendered"].value for made in done} == {KEYS[0]: 4, KEYS[2]: 4}
    run = located.instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags["dagster/max_retries"] == "0"
    assert work_orders.list_placed(library) == []


def test_a_repeated_backfill_plans_only_what_its_earlier_runs_did_not_make(library: Library) -> None:
    done, *others = KEYS
    force = Selection(timelapses=(done,), force=True)
    with library.lease() as lease:
        order = place_order(library, force, id_of("one"))
        rows = work_orders.read_chunk(library, order.id, 0)
        render_chunk(library, rows, lease, run_id=id_of("one"))
    everything = Selection(timelapses=tuple(KEYS), force=True)
    assert place_order(library, everything, id_of("anew")).n_variants == 12
    resumed = Resumed(keys=set(KEYS), run_ids={id_of("one")})
    assert place_order(library, everything, id_of("again"), resumed=resumed).n_variants == 8
    asked_once_more = Resumed(keys=set(others), run_ids={id_of("one")})
    assert place_order(library, everything, id_of("all"), resumed=asked_once_more).n_variants == 12
    of_another = Resumed(keys=set(KEYS), run_ids={id_of("two")})
    assert place_order(library, everything, id_of("other"), resumed=of_another).n_variants == 12


def test_a_repeated_backfill_makes_what_its_earlier_runs_made_and_was_lost_since(
    located: Located, library: Library
) -> None:
    for key in KEYS:
        library.manifest.merge(key, library.manifest.read([key]).with_columns(run_id=pl.lit("one")))
    located.archive.variant("a.jpg", key=KEYS[0]).unlink()
    resumed = Resumed(keys=set(KEYS), run_ids={"one"})
    assert (
        place_order(library, Selection(timelapses=tuple(KEYS)), id_of(id_of("again")), resumed=resumed).n_variants == 1
    )


def test_a_repeated_backfill_takes_nothing_for_done_that_bears_a_later_time(library: Library) -> None:
    for key in KEYS:
        rows = library.manifest.read([key]).with_columns(recorded_at=pl.lit(datetime.now(UTC) + timedelta(days=400)))
        library.manifest.merge(key, rows)
    everything = Selection(timelapses=tuple(KEYS), force=True)
    resumed = Resumed(keys=set(KEYS), run_ids={id_of("one")})
    assert place_order(library, everything, id_of("again"), resumed=resumed).n_variants == 12


def test_rendering_again_rewrites_no_inventory(located: Located, library: Library) -> None:
    forced(located)

    def files() -> list[Path]:
        return sorted(Path(library.state, "datasets", "inventory").rglob("*.parquet"))

    before = files()
    assert before
    forced(located)
    assert files() == before


@dg.op
def no_results() -> list[dict[str, Any]]:
    return []


@dg.graph
def only_the_end() -> None:
    report_order(no_results())


def test_chunks_that_a_repeated_run_was_not_given_are_carried_out_at_its_end(
    located: Located, library: Library
) -> None:
    order = place_order(library, Selection(force=True), run_id := str(uuid.uuid4()))
    assert order.n_chunks == 1
    before = mtimes(library)
    resources = {"library": LibraryResource(root=library.root), "progress": ProgressResource()}
    job = only_the_end.to_job(resource_defs=resources)  # type: ignore[arg-type]
    result = job.execute_in_process(instance=located.instance, run_id=run_id, run_config=QUIET)
    assert result.success
    assert all(at_ns != before[path] for path, at_ns in mtimes(library).items())


def mtimes(library: Library) -> dict[Path, int]:
    found = [path for name in ("thumbnails", "smalls") for path in Path(library.cameras).glob(f"*/*/{name}/*.jpg")]
    return {path: path.stat().st_mtime_ns for path in found}
