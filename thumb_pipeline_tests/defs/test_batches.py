"""The size of a backfill's runs: from the settings where there are any, and never a reason not to load."""

from pathlib import Path

import dagster as dg
import pytest

from thumb_pipeline.definitions import build_definitions
from thumb_pipeline.defs.batches import timelapses_per_run
from thumb_pipeline.defs.runs.lanes import RENDER_POOL
from thumb_pipeline.stages.library import settings_in_force

pytestmark = pytest.mark.quick


def library(root: Path, text: str) -> str:
    (root / "thumbs.toml").write_text(text)
    return str(root)


def test_the_settings_say_how_many_timelapses_a_run_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = library(tmp_path, "[batches]\ntimelapses_per_run = 7")
    assert timelapses_per_run(root) == 7
    monkeypatch.setenv("THUMB_PIPELINE_LIBRARY", root)
    assert timelapses_per_run() == 7
    assert sorted(path.name for path in tmp_path.iterdir()) == ["thumbs.toml"]


def test_it_reaches_the_assets_by_timelapse(tmp_path: Path) -> None:
    graph = build_definitions(library=library(tmp_path, "[batches]\ntimelapses_per_run = 7")).resolve_asset_graph()
    policy = graph.get(dg.AssetKey("verification_report")).backfill_policy
    assert policy is not None
    assert policy.max_partitions_per_run == 7


@pytest.mark.parametrize("text", ["nonsense", "[batches]\ntimelapses_per_run = 0", "[storage]\nstate = 5"])
def test_settings_that_cannot_be_used_give_the_default(tmp_path: Path, text: str) -> None:
    assert timelapses_per_run(library(tmp_path, text)) == 250


def test_or_what_was_in_force_last(tmp_path: Path) -> None:
    settings_in_force.open_in_force(library(tmp_path, "[batches]\ntimelapses_per_run = 7"))
    assert timelapses_per_run(library(tmp_path, "nonsense")) == 7


def test_no_library_gives_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert timelapses_per_run(str(tmp_path / "absent")) == 250
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("THUMB_PIPELINE_LIBRARY", raising=False)
    assert timelapses_per_run() == 250


def test_the_pool_that_bulk_is_counted_by_is_known_before_the_first_run_waits(instance: dg.DagsterInstance) -> None:
    limits = {pool.name: pool.limit for pool in instance.event_log_storage.get_pool_limits()}
    assert limits == {RENDER_POOL: 2}
