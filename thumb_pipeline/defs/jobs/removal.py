"""The jobs that remove variants and bring them back (`sweep`, `purge`, `restore`, `trash`), and their reports.

The first three are on no schedule, and are dry runs unless `apply` is set. All queue behind new captures. The work is
done in `stages.removal`.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import dagster as dg
import polars as pl
from pydantic import Field

from thumb_pipeline.datasets.schemas import FILE_KEY
from thumb_pipeline.defs.resources import LibraryResource
from thumb_pipeline.defs.run_config import RunConfig
from thumb_pipeline.defs.runs import lanes
from thumb_pipeline.defs.runs.failures import refusals_as_failures
from thumb_pipeline.defs.shown.reporting import table
from thumb_pipeline.defs.verification import evaluate_checks
from thumb_pipeline.domain.removals import Operation
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.removal import journal, run
from thumb_pipeline.stages.removal import restore as restoring
from thumb_pipeline.stages.removal import trash as trash_can
from thumb_pipeline.stages.removal.planned import RemovalWish

FORCED_TAG = "thumb_pipeline/forced"
"""On runs that overrule the brakes."""

_PREVIEW_ROWS = 100


class RemovalConfig(RunConfig):
    """How something is to be removed; the defaults remove nothing and report what would be removed."""

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
    expected_files: int | None = Field(
        default=None,
        description=(
            "How many files to remove: the number that a dry run of the same reports as planned. The run is refused if "
            "that number has changed. Required to delete for good where no brake applies: in a purge, or with force."
        ),
    )

    def wish(self) -> RemovalWish:
        """What is asked for."""
        return RemovalWish(
            timelapses=tuple(self.timelapses),
            force=self.force,
            use_trash=self.use_trash,
            expected_files=self.expected_files,
        )


class SweepConfig(RemovalConfig):
    """What a sweep is to remove."""

    by_policy: bool = Field(
        default=False, description="Also variants of existing sources that a change of policy made superfluous."
    )

    def wish(self) -> RemovalWish:
        """What is asked for."""
        return replace(super().wish(), by_policy=self.by_policy)


class PurgeConfig(RemovalConfig):
    """Which variants to remove, all of them by default; without `apply` none is removed."""

    variants: list[str] = Field(default=[], description="Only these variants; empty means all.")

    def wish(self) -> RemovalWish:
        """What is asked for."""
        return replace(super().wish(), variants=tuple(self.variants))


class RestoreConfig(RunConfig):
    """Which removal to undo."""

    run_id: str = Field(description="The id of the sweep or purge, as its report and `thumb-pipeline trash` show it.")
    apply: bool = Field(default=False, description="Bring back. Without it, the run only reports what would come back.")


_Results = Iterator[dg.AssetCheckEvaluation | dg.Output[dict[str, Any]]]


@dg.op(out=dg.Out(dict), config_schema=SweepConfig.as_field())
def sweep_orphans(context: dg.OpExecutionContext, library: LibraryResource) -> _Results:
    """Removes the files in variant folders that nothing expects, from fresh listings."""
    yield from _remove(context, library.open_to_remove(context.instance), Operation.SWEEP, SweepConfig.of(context))


@dg.op(out=dg.Out(dict), config_schema=PurgeConfig.as_field())
def purge_variants(context: dg.OpExecutionContext, library: LibraryResource) -> _Results:
    """Removes all chosen variants and their records; `generate` makes them again."""
    yield from _remove(context, library.open_to_remove(context.instance), Operation.PURGE, PurgeConfig.of(context))


@dg.op(out=dg.Out(dict), config_schema=RestoreConfig.as_field())
def restore_removed(context: dg.OpExecutionContext, library: LibraryResource) -> _Results:
    """Brings back what a sweep or purge moved to the trash; a file in the way is never replaced."""
    config, opened = RestoreConfig.of(context), library.open(context.instance)
    with refusals_as_failures():
        waiting = restoring.in_trash(opened, config.run_id)
        if config.apply:
            with opened.lease() as lease, journal.lock_removals(opened):
                done = restoring.restore(opened, config.run_id, lease)
        else:
            done = restoring.Restored(run_id=config.run_id)
    _report(context, "restore_report", done.document(), waiting, dict(done.kept))
    if config.apply:
        with refusals_as_failures():
            yield from evaluate_checks(opened)
    yield dg.Output({**done.document(), "kept_by_reason": dict(done.kept)})


@dg.op(out=dg.Out(dict))
def empty_expired(context: dg.OpExecutionContext, library: LibraryResource) -> dict[str, int]:
    """Deletes for good what was removed longer ago than trash.keep_days, and frees its space."""
    opened = library.open_to_remove(context.instance)
    with refusals_as_failures(), journal.lock_removals(opened):
        emptied = trash_can.empty_expired(opened)
        kept = trash_can.reason_not_to_expire(opened)
    _log_trash(context, trash_can.announce_expired(emptied), kept)
    done = {
        "emptied": len(emptied),
        "n_files": sum(entry.n_files for entry in emptied),
        "n_bytes": sum(entry.n_bytes for entry in emptied),
    }
    not_emptied = {} if kept is None else {"not_emptied": dg.MetadataValue.text(kept)}
    context.add_output_metadata({**{name: dg.MetadataValue.int(n) for name, n in done.items()}, **not_emptied})
    return done


def _log_trash(context: dg.OpExecutionContext, emptied: list[str], kept: str | None) -> None:
    """Logs what was deleted for good, and why something that was due was not."""
    for sentence in emptied:
        context.log.info(sentence)
    if kept is not None:
        context.log.warning(kept)


def _remove(context: dg.OpExecutionContext, library: Library, operation: Operation, config: RemovalConfig) -> _Results:
    wish = config.wish()
    if wish.force and config.apply:
        context.instance.add_run_tags(context.run_id, {FORCED_TAG: "true"})
    with refusals_as_failures():
        if not config.apply:
            planned = run.plan_removal(library, operation, wish)
            for objection in planned.objections:
                context.log.warning(objection)
            _report(context, f"{operation.value}_report", planned.document(), planned.files, {})
            yield dg.Output({**planned.document(), "kept_by_reason": {}, "trash_emptied": [], "trash_kept": None})
            return
        with library.lease() as lease:
            done = run.perform(library, operation, wish, context.run_id, lease)
    _report(context, f"{operation.value}_report", done.document(), done.files, done.kept_by_reason())
    _log_trash(context, done.trash_emptied, done.trash_kept)
    with refusals_as_failures():
        yield from evaluate_checks(library)
    trash_numbers = {"trash_emptied": done.trash_emptied, "trash_kept": done.trash_kept}
    yield dg.Output({**done.document(), "kept_by_reason": done.kept_by_reason(), **trash_numbers})


def _report(
    context: dg.OpExecutionContext, asset: str, document: dict[str, Any], files: pl.DataFrame, kept: dict[str, int]
) -> None:
    """Materializes the report: the numbers, what was kept and why, and the first files."""
    shown = files.select(*FILE_KEY, "kind", "n_bytes")
    metadata: dict[str, dg.MetadataValue] = {
        name: dg.MetadataValue.int(value) if isinstance(value, int) else dg.MetadataValue.text(value or "-")
        for name, value in document.items()
    }
    metadata |= {f"kept/{reason}": dg.MetadataValue.int(n) for reason, n in kept.items()}
    metadata["files"] = table(shown, limit=_PREVIEW_ROWS)
    context.log_event(dg.AssetMaterialization(asset_key=asset, metadata=metadata))


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


@dg.graph(name="trash")
def trash_graph() -> None:
    """Deletes for good what was removed longer ago than `trash.keep_days`."""
    empty_expired()


sweep = sweep_graph.to_job(executor_def=dg.in_process_executor, tags=lanes.MAINTENANCE)
purge = purge_graph.to_job(executor_def=dg.in_process_executor, tags=lanes.MAINTENANCE)
restore = restore_graph.to_job(executor_def=dg.in_process_executor, tags=lanes.MAINTENANCE)

trash = trash_graph.to_job(executor_def=dg.in_process_executor, tags=lanes.MAINTENANCE)

MAINTENANCE_JOBS = [sweep, purge, restore, trash]

MAINTENANCE_REPORTS = [
    dg.AssetSpec(name, group_name="maintenance", description=description, kinds={"polars"})
    for name, description in {
        "repair_report": "What the last repair brought back, or would have; the job `repair` reports here.",
        "sweep_report": "What the last sweep removed, or would have; the job `sweep` reports here.",
        "purge_report": "What the last purge removed, or would have; the job `purge` reports here.",
        "restore_report": "What the last restore brought back, or would have; the job `restore` reports here.",
    }.items()
]
"""The assets that hold the reports of these jobs and of `repair`; only the jobs materialize them."""
