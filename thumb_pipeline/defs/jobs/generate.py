"""The job `generate`, and the ops that it shares with the asset `thumbnails`: cut a plan into chunks, render, fold.

The ops pass on small values and the name of an order of work on disk, so that any executor can distribute them.
"""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, NoReturn

import dagster as dg

from thumb_pipeline.datasets.schemas import MANIFEST, PLAN, SOURCE_KEY
from thumb_pipeline.defs.config import GenerateConfig, PlanConfig, ReportConfig
from thumb_pipeline.defs.partitions import register_timelapses, retire_timelapses, timelapses_of
from thumb_pipeline.defs.resources import LibraryResource, ProgressResource
from thumb_pipeline.defs.runs import backfills, lanes
from thumb_pipeline.defs.runs.failures import refusals_as_failures
from thumb_pipeline.defs.runs.words import NO_RETRY
from thumb_pipeline.defs.shown.reporting import (
    by_timelapse,
    coverage_metadata,
    disk_usage_metadata,
    inventory_metadata,
    plan_metadata,
    table,
    thumbnails_metadata,
)
from thumb_pipeline.domain.quantities import counted, human_bytes, human_seconds
from thumb_pipeline.stages.examining.contact_sheets import newest_thumbnails_base64
from thumb_pipeline.stages.inventory.listing import discover_apart
from thumb_pipeline.stages.inventory.selection import Selection
from thumb_pipeline.stages.library.errors import REFUSALS
from thumb_pipeline.stages.library.library import Library, checked_run_id
from thumb_pipeline.stages.planning.plan import make_plan
from thumb_pipeline.stages.planning.plan_apart import plan_apart
from thumb_pipeline.stages.rendering import accept_plan, work_orders
from thumb_pipeline.stages.rendering.chunk import ChunkResult, TimelapseCounts
from thumb_pipeline.stages.rendering.latest_only import render_rows
from thumb_pipeline.stages.rendering.work_orders import WorkOrder
from thumb_pipeline.stages.verification.statistics import Measurement, measure

_MOST_ROWS = 1_000
_NOTHING_LEFT = "the plan of this run is already carried out and reported; re-execute all of its steps for a new plan"
_MOST_SHEETS = 100  # each takes a worker 0.1 s and an event 15 KB


def place_order(
    library: Library,
    selection: Selection,
    order_id: str,
    *,
    go_on_without_refused: bool = False,
    resumed: backfills.Resumed | None = None,
) -> WorkOrder:
    """Makes a plan, records what is already right, and writes the rest to disk as an order of work."""
    with refusals_as_failures(delays_s=library.settings.retries.delays_s), library.lease() as lease:
        left_out: dict[str, str] = {}
        if go_on_without_refused:
            plan, left_out = plan_apart(library, selection, lease)
        else:
            plan = make_plan(library, selection, lease)
        accept_plan.record(library, plan)
        plan = resumed.left_of(library, plan) if resumed else plan
        return work_orders.place(library, plan, order_id, left_out=left_out)


def chunk_outputs(order: WorkOrder) -> Iterator[dg.DynamicOutput[dict[str, Any]]]:
    """One output for each chunk; the keys are the same when a failed run is repeated."""
    for chunk in range(order.n_chunks):
        yield dg.DynamicOutput({"order": order.id, "chunk": chunk}, mapping_key=f"chunk_{chunk:03d}")


@dg.op(
    out=dg.DynamicOut(dict),
    ins={"missing_thumbnails": dg.In(dg.Nothing)},
    config_schema=PlanConfig.as_field(),
)
def cut_plan(context: dg.OpExecutionContext, library: LibraryResource) -> Iterator[dg.DynamicOutput[dict[str, Any]]]:
    """Makes a fresh inventory and plan of the run's timelapses, and cuts it into chunks.

    If a run has several timelapses, one that is refused does not stop the others.
    """
    config, opened = PlanConfig.of(context), library.open(context.instance)
    backfills.enter_lane(context)
    keys = timelapses_of(context)
    selection, resumed = config.selection(keys), backfills.read_resumed(context, keys)
    yield from chunk_outputs(
        _open_order(context, opened, selection, go_on_without_refused=len(keys) > 1, resumed=resumed)
    )


@dg.op(
    out=dg.DynamicOut(dict),
    config_schema=GenerateConfig.as_field(),
)
def take_order(context: dg.OpExecutionContext, library: LibraryResource) -> Iterator[dg.DynamicOutput[dict[str, Any]]]:
    """Cuts an order of work into chunks: the one that the command line placed, or a new plan of what config selects."""
    config, opened = GenerateConfig.of(context), library.open(context.instance)
    with refusals_as_failures():
        register_timelapses(context.instance, discover_apart(opened).keys)
    selection = config.selection(config.timelapses)
    yield from chunk_outputs(
        _open_order(context, opened, selection, go_on_without_refused=config.go_on_without_refused)
    )


def _open_order(
    context: dg.OpExecutionContext,
    library: Library,
    selection: Selection,
    *,
    go_on_without_refused: bool = False,
    resumed: backfills.Resumed | None = None,
) -> WorkOrder:
    """Reads the order that was placed for this run, or by the run that this one repeats; else places a new one.

    So a repeated run goes on where the first one ended, also with `force`.
    """
    order_id = _order_id(context)
    if work_orders.is_placed(library, order_id):
        return work_orders.read(library, order_id)
    order = place_order(library, selection, order_id, go_on_without_refused=go_on_without_refused, resumed=resumed)
    context.log.info(
        f"{counted(order.n_variants, 'variant')} of {counted(order.n_sources, 'source')} to be made: reads "
        f"{human_bytes(order.n_bytes)}, takes about {human_seconds(order.predicted_s)}"
    )
    return order


def _order_id(context: dg.OpExecutionContext) -> str:
    """The id of this run's order of work: that of the run that this one repeats, else its own.

    Raises:
        dagster.Failure: the run names something as the run that it repeats which is not the id of a run.
    """
    with refusals_as_failures():
        return checked_run_id(context.run.root_run_id or context.run_id)


@dg.op(pool=lanes.RENDER_POOL)
def render_chunk(
    context: dg.OpExecutionContext,
    chunk: dict[str, Any],
    library: LibraryResource,
    progress: dg.ResourceParam[ProgressResource],
) -> dict[str, Any]:
    """Renders one chunk with several worker processes and records the results as it goes."""
    return _carry_out(context, library.open(context.instance), progress, chunk["order"], chunk["chunk"])


def _carry_out(
    context: dg.OpExecutionContext, opened: Library, progress: ProgressResource, order_id: str, chunk: int
) -> dict[str, Any]:
    with refusals_as_failures():
        opened = work_orders.library_of(opened, order_id)
        rows = work_orders.read_chunk(opened, order_id, chunk)
    n_sources = rows.select(*SOURCE_KEY).n_unique()
    with refusals_as_failures(delays_s=opened.settings.retries.delays_s), opened.lease() as lease:
        done = render_rows(
            opened,
            rows,
            lease,
            run_id=context.run_id,
            on_source=progress.listener(context.log, n_sources),
            on_end=progress.finished,
        )
    return {"order": order_id, "chunk": chunk, **asdict(done)}


def left_chunks(order: WorkOrder, results: list[dict[str, Any]]) -> list[int]:
    """The chunks that no step carried out.

    When an interrupted run is re-executed from failure, Dagster 1.13 repeats the mapped steps that had begun, skips
    those that had not, and goes on to the last step.
    """
    return sorted(set(range(order.n_chunks)) - {result["chunk"] for result in results})


@dg.op(out=dg.Out(dg.Nothing))
def fold_chunks(
    context: dg.OpExecutionContext,
    results: list[dict[str, Any]],
    library: LibraryResource,
    progress: dg.ResourceParam[ProgressResource],
) -> None:
    """Adds up the results of the chunks and reports them on the asset."""
    opened = library.open(context.instance)
    keys = timelapses_of(context)
    order, result = _fold_results(context, opened, progress, results)
    if order.left_out:
        _report_without_left_out(context, opened, order, result, keys)
    if len(keys) > 1:  # Dagster repeats the metadata for every partition, so the long table is logged once
        numbers = table(by_timelapse(order, result), limit=_MOST_ROWS)
        context.log_event(dg.AssetObservation(asset_key="thumbnails", metadata={"by_timelapse": numbers}))
    with refusals_as_failures():
        sheet = _make_sheet(opened, keys)
    metadata = thumbnails_metadata(order, result, MANIFEST, keys=keys, sheet_base64=sheet)
    context.add_output_metadata({**metadata, "timelapses_in_run": dg.MetadataValue.int(len(keys))})
    work_orders.discard(opened, order.id)


def _report_without_left_out(
    context: dg.OpExecutionContext, opened: Library, order: WorkOrder, result: ChunkResult, keys: list[str]
) -> NoReturn:
    """Materializes the finished timelapses one by one, then fails: a successful run would materialize all of them.

    Raises:
        dagster.Failure: which timelapses were refused, and why.
    """
    for key in keys:
        if key not in order.left_out:
            metadata = thumbnails_metadata(order, result, MANIFEST, keys=[key], sheet_base64=None)
            _log_materialization(context, "thumbnails", key, metadata)
    context.instance.add_run_tags(context.run_id, NO_RETRY)  # a retry would only be refused again
    work_orders.discard(opened, order.id)  # when the run is repeated after the repair, it needs a new order
    _fail_for_left_out(order)


def _fail_for_left_out(order: WorkOrder) -> NoReturn:
    reasons = "\n".join(f"{key}: {reason}" for key, reason in sorted(order.left_out.items()))
    raise dg.Failure(description=f"these were refused; everything else is done:\n{reasons}", allow_retries=False)


@dg.op(out=dg.Out(dg.Nothing), config_schema=ReportConfig.as_field())
def report_order(
    context: dg.OpExecutionContext,
    results: list[dict[str, Any]],
    library: LibraryResource,
    progress: dg.ResourceParam[ProgressResource],
) -> None:
    """Adds up the results of the chunks and reports them for every timelapse with work."""
    opened = library.open(context.instance)
    order, result = _fold_results(context, opened, progress, results)
    keys = sorted(order.found)
    for number, key in enumerate(keys):
        with refusals_as_failures():
            sheet = _make_sheet(opened, [key]) if number < _MOST_SHEETS else None
            listed = inventory_metadata(opened.inventory, [key])
        made = thumbnails_metadata(order, result, MANIFEST, keys=[key], sheet_base64=sheet)
        _log_materialization(context, "image_inventory", key, listed)
        _log_materialization(context, "missing_thumbnails", key, plan_metadata(order.found[key].by_reason, PLAN))
        _log_materialization(context, "thumbnails", key, made)
    if ReportConfig.of(context).statistics:
        with refusals_as_failures():
            measured = _try_to_measure(context, opened, order)
        if measured is not None:
            _log_materialization(context, "coverage_statistics", None, coverage_metadata(measured))
            _log_materialization(context, "disk_usage_statistics", None, disk_usage_metadata(measured))
    work_orders.discard(opened, order.id)
    retire_timelapses(opened, context.instance, context.run_id, context.log)
    if order.left_out:
        _fail_for_left_out(order)


def _try_to_measure(context: dg.OpExecutionContext, opened: Library, order: WorkOrder) -> Measurement | None:
    """Measures the library; None if that is refused and a timelapse was left out, which the run reports at its end."""
    try:
        return measure(opened)
    except REFUSALS as refused:
        if not order.left_out:
            raise
        context.log.warning(f"nothing was measured: {refused}")
        return None


def _log_materialization(context: dg.OpExecutionContext, asset: str, key: str | None, metadata: Any) -> None:
    context.log_event(dg.AssetMaterialization(asset_key=asset, partition=key, metadata=metadata))


def _fold_results(
    context: dg.OpExecutionContext, library: Library, progress: ProgressResource, results: list[dict[str, Any]]
) -> tuple[WorkOrder, ChunkResult]:
    """The order of work and the summed results of all its chunks; chunks that no step carried out are rendered here."""
    try:
        order = work_orders.read(library, results[0]["order"] if results else _order_id(context))
    except FileNotFoundError as gone:
        raise dg.Failure(description=_NOTHING_LEFT, allow_retries=False) from gone
    remaining = [_carry_out(context, library, progress, order.id, chunk) for chunk in left_chunks(order, results)]
    return order, work_orders.fold([_chunk_result(result) for result in [*results, *remaining]])


def _chunk_result(written: dict[str, Any]) -> ChunkResult:
    counts = {key: TimelapseCounts(**value) for key, value in written["by_timelapse"].items()}
    return ChunkResult(
        by_timelapse=counts,
        slowest=[(name, ms) for name, ms in written["slowest"]],
        failures=[(name, reason, detail) for name, reason, detail in written["failures"]],
        duration_s=written["duration_s"],
    )


def _make_sheet(library: Library, keys: list[str]) -> str | None:
    if len(keys) != 1:
        return None
    with library.lease() as lease:
        return newest_thumbnails_base64(library, keys[0], lease)


@dg.graph(name="generate")
def generate_graph() -> None:
    """Plans and renders what is missing or stale, in any set of timelapses, in one run.

    Only timelapses with work enter it. The command `thumb-pipeline generate` runs this job.
    """
    report_order(take_order().map(render_chunk).collect())


generate = generate_graph.to_job(executor_def=dg.in_process_executor, tags=lanes.REGENERATION)
