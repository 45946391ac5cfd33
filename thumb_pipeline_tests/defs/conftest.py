"""A small library whose variants are made, an instance of its own, and what runs in them say."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from thumb_pipeline.definitions import build_definitions
from thumb_pipeline_tests.stages.archives import Archive

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
KEYS = ("camera-1/timelapse-1", "camera-1/timelapse-2", "camera-2/timelapse-3")


@dataclass(frozen=True)
class Located:
    """A library, a Dagster instance, and the code location between them."""

    archive: Archive
    instance: dg.DagsterInstance

    def job(self, name: str, *, success: bool = True, **config: Any) -> dg.ExecuteInProcessResult:
        """Runs a job of one configured op."""
        op = {"generate": "take_order", "verify": "verify_timelapses"}[name]
        found = self._definitions.resolve_job_def(name).execute_in_process(
            instance=self.instance, run_config={**QUIET, "ops": {op: {"config": config}}}, raise_on_error=False
        )
        assert found.success == success
        return found

    def materialize(self, *assets: str, success: bool = True, **options: Any) -> dg.ExecuteInProcessResult:
        """Materializes assets; `partition_key` or `tags` say of which timelapses."""
        found = self._definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=self.instance,
            asset_selection=[dg.AssetKey(name) for name in assets],
            run_config=QUIET,
            raise_on_error=False,
            **options,
        )
        assert found.success == success
        return found

    def red(self) -> set[str]:
        """The checks that the instance shows as failed; every one of them was evaluated."""
        node = self._definitions.resolve_asset_graph()
        keys = sorted(node.asset_check_keys, key=str)
        found = self.instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
        assert set(found) == set(keys)
        assert {record.status.value for record in found.values()} <= {"SUCCEEDED", "FAILED"}
        return {key.name for key, record in found.items() if record.status.value == "FAILED"}

    def partitions(self) -> set[str]:
        return set(self.instance.get_dynamic_partitions("timelapse"))

    def n_reported(self, asset: str = "verification_report") -> int:
        return len(self.instance.fetch_materializations(dg.AssetKey(asset), limit=100).records)

    @property
    def _definitions(self) -> dg.Definitions:
        return build_definitions(library=str(self.archive.root))


@pytest.fixture
def located(tmp_path: Path) -> Iterator[Located]:
    """Three timelapses with two sources each, all variants made, nothing verified."""
    archive = Archive(tmp_path / "library")
    for key in KEYS:
        for number, name in enumerate(("a.jpg", "b.jpg")):
            archive.frame(name, key=key, color=number)
    archive.run()
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("timelapse", list(KEYS))
        yield Located(archive, instance)


def numbers(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    """The metadata of the one materialization of an asset in a run."""
    events = [event.step_materialization_data for event in result.all_events if event.is_step_materialization]
    (made,) = [data.materialization for data in events if data.materialization.asset_key == dg.AssetKey(asset)]
    return {name: value.value for name, value in made.metadata.items()}
