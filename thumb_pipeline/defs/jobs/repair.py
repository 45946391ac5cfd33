"""The job `repair`: brings files back to their sources and records to the files, without rendering."""

from collections.abc import Iterator

import dagster as dg
from pydantic import Field

from thumb_pipeline.datasets.schemas import FILE_KEY
from thumb_pipeline.defs.resources import LibraryResource
from thumb_pipeline.defs.run_config import RunConfig
from thumb_pipeline.defs.runs import lanes
from thumb_pipeline.defs.runs.failures import refusals_as_failures
from thumb_pipeline.defs.shown.reporting import Metadata, table
from thumb_pipeline.defs.verification import evaluate_checks
from thumb_pipeline.stages.inventory.selection import find_timelapses
from thumb_pipeline.stages.repair.repair import Repaired
from thumb_pipeline.stages.repair.repair import repair as repair_timelapses
from thumb_pipeline.stages.verification.verdicts import renew_verdicts


class RepairConfig(RunConfig):
    """What is repaired, and whether changes are made or only reported."""

    timelapses: list[str] = Field(
        default=[],
        description=(
            "Keys like camera-1/timelapse-2; empty means the whole library. A frame that was moved to another "
            "timelapse is found again only where both are repaired."
        ),
    )
    apply: bool = Field(
        default=False, description="Make the changes. Without it, the run only reports what would be changed."
    )
    accept_shrink: bool = Field(
        default=False,
        description="Believe a listing that is empty or lost many sources. Check first that the disk is mounted.",
    )


@dg.op(out=dg.Out(dict), config_schema=RepairConfig.as_field())
def repair_library(
    context: dg.OpExecutionContext, library: LibraryResource
) -> Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation | dg.Output[dict[str, int]]]:
    """Matches orphaned files with their sources, moves and records them; deletes and renders nothing."""
    config = RepairConfig.of(context)
    opened = library.open_to_remove(context.instance) if config.apply else library.open(context.instance)
    with refusals_as_failures(), opened.lease() as lease:
        keys = find_timelapses(opened, config.timelapses)
        done = repair_timelapses(opened, keys, lease, apply=config.apply, accept_shrink=config.accept_shrink)
        if config.apply:
            renew_verdicts(opened, done.timelapses, lease)
    yield dg.AssetMaterialization("repair_report", metadata=_metadata(done))
    if config.apply:
        with refusals_as_failures():
            yield from evaluate_checks(opened)
    yield dg.Output({**done.document(), **done.left()})


def _metadata(done: Repaired) -> Metadata:
    numbers: Metadata = {name: dg.MetadataValue.int(n) for name, n in {**done.document(), **done.left()}.items()}
    shown = {
        "moved": done.moved.select(*FILE_KEY, "to_timelapse", "to_path"),
        "adopted": done.adopted,
        "records_dropped": done.dropped,
        "unmatched": done.unmatched.select(*FILE_KEY, "n_bytes", "kind"),
        "place_taken": done.redundant,
    }
    return {**numbers, **{name: table(rows) for name, rows in shown.items() if not rows.is_empty()}}


@dg.graph(name="repair")
def repair_graph() -> None:
    """Repairs what needs no rendering: files under wrong names, lost records. `thumb-pipeline repair` does the same."""
    repair_library()


repair = repair_graph.to_job(
    executor_def=dg.in_process_executor,
    tags=lanes.MAINTENANCE,
)
