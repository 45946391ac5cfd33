"""The jobs that remove variants and bring them back: `sweep`, `purge`, `restore`. Dry runs unless `apply` is set.

None of them is on a schedule, and all queue behind new captures. What they do is in `stages.operations`.
"""

from dataclasses import replace
from typing import Any

import dagster as dg
import polars as pl
from pydantic import Field

from thumb_pipeline.defs import lanes
from thumb_pipeline.defs.reporting import table
from thumb_pipeline.defs.resources import LibraryResource
from thumb_pipeline.domain.removals import Operation
from thumb_pipeline.stages import journal, operations
from thumb_pipeline.stages import restore as restoring
from thumb_pipeline.stages.errors import INTERRUPTIONS, REFUSALS
from thumb_pipeline.stages.library import Library
from thumb_pipeline.stages.removal import RemovalWish

FORCED_TAG = "thumb_pipeline/forced"
"""On runs that were told to overrule the brakes."""

_PREVIEW_ROWS = 100


class RemovalConfig(dg.Config):
    """How something is to be removed; the defaults remove nothing and report what would go."""

    apply: bool = Field(default=False, description="Remove. Without it, the run only reports what would be removed.")
    timelapses: list[str] = Field(
        default=[], description="Keys like camera-1/timelapse-2; empty means the whole library."
    )
    force: bool = Field(
        default=False, description="Overrule the brakes. Check first that every disk is mounted; the run is tagged."
    )
    use_trash: bool = Field(
        default=True, description="Move files into the trash, from where restore brings them back. Off: delete them."
    )

    def wish(self) -> RemovalWish:
        """What is asked for."""
        return RemovalWish(timelapses=tuple(self.timelapses), force=self.force, use_trash=self.use_trash)


class SweepConfig(RemovalConfig):
    """What a sweep is to remove."""

    by_policy: bool = Field(
        default=False, description="Also variants of existing sources that a change of policy made superfluous."
    )

    def wish(self) -> RemovalWish:
        """What is asked for."""
        return replace(super().wish(), by_policy=self.by_policy)


class PurgeConfig(RemovalConfig):
    """Which variants to remove, all of them by default; without `apply` none goes."""

    variants: list[str] = Field(default=[], description="Only these variants; empty means all.")

    def wish(self) -> RemovalWish:
        """What is asked for."""
        return replace(super().wish(), variants=tuple(self.variants))


class RestoreConfig(dg.Config):
    """Which removal to undo."""

    run_id: str = Field(description="The id of the sweep or purge, as its report and `thumb-pipeline trash` show it.")
    apply: bool = Field(default=False, description="Bring back. Without it, the run only reports what would come back.")


@dg.op
def sweep_orphans(context: dg.OpExecutionContext, config: SweepConfig, library: LibraryResource) -> dict[str, Any]:
    """Removes the files in variant folders that nothing expects, from a fresh report."""
    return _remove(context, library.open(context.instance), Operation.SWEEP, config)


@dg.op
def purge_variants(context: dg.OpExecutionContext, config: PurgeConfig, library: LibraryResource) -> dict[str, Any]:
    """Removes all chosen variants and their records; `generate` makes them again."""
    return _remove(context, library.open(context.instance), Operation.PURGE, config)


@dg.op
def restore_removed(context: dg.OpExecutionContext, config: RestoreConfig, library: LibraryResource) -> dict[str, Any]:
    """Brings back what a sweep or purge moved to the trash; a file in the way is never replaced."""
    opened = library.open(context.instance)
    try:
        waiting = restoring.in_trash(opened, config.run_id)
        if config.apply:
            with opened.lease() as lease, journal.alone(opened):
                done = restoring.restore(opened, config.run_id, lease)
        else:
            done = restoring.Restored(run_id=config.run_id)
    except (*REFUSALS, *INTERRUPTIONS) as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error
    _report(context, "restore_report", done.document(), waiting, dict(done.kept))
    return {**done.document(), "kept_by_reason": dict(done.kept)}


def _remove(
    context: dg.OpExecutionContext, library: Library, operation: Operation, config: RemovalConfig
) -> dict[str, Any]:
    wish = config.wish()
    if wish.force and config.apply:
        context.instance.add_run_tags(context.run_id, {FORCED_TAG: "true"})
    try:
        if not config.apply:
            planned = operations.plan_removal(library, operation, wish)
            for objection in planned.objections:
                context.log.warning(objection)
            _report(context, f"{operation.value}_report", planned.document(), planned.files, {})
            return {**planned.document(), "kept_by_reason": {}}
        with library.lease() as lease:
            done = operations.perform(library, operation, wish, context.run_id, lease)
    except (*REFUSALS, *INTERRUPTIONS) as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error
    _report(context, f"{operation.value}_report", done.document(), done.files, done.kept_by_reason())
    return {**done.document(), "kept_by_reason": done.kept_by_reason()}


def _report(
    context: dg.OpExecutionContext, asset: str, document: dict[str, Any], files: pl.DataFrame, kept: dict[str, int]
) -> None:
    """A materialization of the report: the numbers, what was kept and why, and the first files."""
    shown = files.select("timelapse", "variant_path", "kind", "n_bytes")
    metadata: dict[str, dg.MetadataValue] = {
        name: dg.MetadataValue.int(value) if isinstance(value, int) else dg.MetadataValue.text(value or "-")
        for name, value in document.items()
    }
    metadata |= {f"kept/{reason}": dg.MetadataValue.int(n) for reason, n in kept.items()}
    metadata["files"] = table(shown, limit=_PREVIEW_ROWS)
    context.log_event(dg.AssetMaterialization(asset_key=asset, metadata=metadata))
    context.add_output_metadata(metadata)


@dg.graph(name="sweep")
def sweep_graph() -> None:
    """Removes the files that nothing expects, into a trash; a dry run unless `apply` is set."""
    sweep_orphans()


@dg.graph(name="purge")
def purge_graph() -> None:
    """Removes all variants of chosen timelapses with their records; a dry run unless `apply` is set."""
    purge_variants()


@dg.graph(name="restore")
def restore_graph() -> None:
    """Undoes a sweep or purge; a dry run unless `apply` is set."""
    restore_removed()


sweep = sweep_graph.to_job(executor_def=dg.in_process_executor, tags=lanes.MAINTENANCE)
purge = purge_graph.to_job(executor_def=dg.in_process_executor, tags=lanes.MAINTENANCE)
restore = restore_graph.to_job(executor_def=dg.in_process_executor, tags=lanes.MAINTENANCE)

MAINTENANCE_JOBS = [sweep, purge, restore]
