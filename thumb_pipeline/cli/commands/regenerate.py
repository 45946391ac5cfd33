"""`thumb-pipeline regenerate`: renders again what is right already, and goes on where it was stopped.

`stages.rendering.regenerate` plans the work; it is carried out as in `generate`.
"""

import time
from datetime import datetime
from typing import Annotated

import typer

from thumb_pipeline.cli.commands.generate import Summary, carry_out, conclude, put_right_after_killed
from thumb_pipeline.cli.console import (
    JsonOption,
    LibraryOption,
    gauge,
    open_chosen_library,
    say,
    source_text,
)
from thumb_pipeline.cli.dagster.instance import refuse_long_path, settle_run_database
from thumb_pipeline.cli.selection import AllOption, SourcesOption, TimelapsesOption, VariantsOption
from thumb_pipeline.domain.quantities import counted, human_bytes, human_seconds
from thumb_pipeline.stages.library.library import Lease, Library
from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline.stages.rendering import accept_plan, work_orders
from thumb_pipeline.stages.rendering.regenerate import (
    Forecast,
    Regeneration,
    forecast,
    forecast_left,
    plan_regeneration,
)
from thumb_pipeline.stages.rendering.work_orders import WorkOrder

_CHOICES = "--timelapse, --camera, --source, --variant, --since, --failed"


def regenerate(
    library: LibraryOption = None,
    everything: AllOption = False,
    timelapse: TimelapsesOption = None,
    camera: Annotated[
        list[str] | None,
        typer.Option("--camera", metavar="ID", help="Only the timelapses of this camera, as camera-1; repeatable."),
    ] = None,
    source: SourcesOption = None,
    variant: VariantsOption = None,
    since: Annotated[
        datetime | None,
        typer.Option("--since", metavar="DATE", formats=["%Y-%m-%d"], help="Only captures from this day on."),
    ] = None,
    failed: Annotated[
        str | None,
        typer.Option("--failed", metavar="REASON", help="Only sources that were refused for this reason."),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="Only the newest N sources.")] = None,
    json: JsonOption = False,
) -> None:
    """Render again what is right already; resumable."""
    opened = open_chosen_library(library)
    wanted = Regeneration(
        timelapses=tuple(timelapse or ()),
        cameras=tuple(camera or ()),
        sources=tuple(source_text(name) for name in source or ()),
        variants=tuple(variant or ()),
        since=None if since is None else since.date(),
        failed=failed,
        limit=limit,
    )
    _refuse_unclear(wanted, everything=everything)
    conclude(opened, *_run_regeneration(opened, wanted), json=json)


def _refuse_unclear(wanted: Regeneration, *, everything: bool) -> None:
    """Checks that the user gave either --all or a choice; --limit goes with both.

    Raises:
        Refused: neither or both were given.
    """
    if everything and wanted.is_narrowed:
        raise Refused(f"--all is the whole library: leave it out, or leave out {_CHOICES}")
    if not everything and not wanted.is_narrowed:
        limit = "" if wanted.limit is None else f"; --limit {wanted.limit} only says how many of these"
        raise Refused(f"say what to render again: --all, or {_CHOICES}{limit}")


def _run_regeneration(library: Library, wanted: Regeneration) -> tuple[Summary, list[str], str | None]:
    from thumb_pipeline.cli.dagster import runs  # Dagster takes a second to load: only where there is work

    started = time.monotonic()
    run_ids, stopped = [], None
    refuse_long_path(library)
    with library.lease() as lease:
        settle_run_database(library)
        put_right_after_killed(library)
        done = Summary(sources=0)
        run_id = runs.new_run_id()
        resumed = _resume_order(library, wanted, run_id)
        order, n_before = resumed or (_place_order(library, wanted, lease, done, run_id), 0)
        if order is not None:
            done.sources = done.sources or order.n_sources
            stopped = carry_out(library, order, run_id, lease, done, statistics=True, n_before=n_before)
            run_ids.append(run_id)
    done.duration_s = round(time.monotonic() - started, 3)
    return done, run_ids, stopped


def _resume_order(library: Library, wanted: Regeneration, run_id: str) -> tuple[WorkOrder, int] | None:
    """Takes over the stopped order of an earlier call with the same options; returns it and how many sources it did."""
    earlier = work_orders.list_unfinished(library, wanted.asked)
    if earlier is None:
        return None
    _refuse_under_way(library, earlier)
    order = work_orders.hand_over(library, earlier, run_id)
    rest = forecast_left(library, order)
    say(f"going on with run {earlier}, of {order.placed_at}: {rest.n_variants:,} of {order.n_variants:,} variants left")
    _print_forecast(rest)
    return order, order.n_sources - rest.n_sources


def _refuse_under_way(library: Library, order_id: str) -> None:
    """Checks that no run is carrying out an order already.

    Raises:
        Refused: one is.
    """
    from thumb_pipeline.cli.dagster import runs  # Dagster takes a second to load: only where there is work

    with runs.instance_of(library) as instance:
        at_work = [run.run_id for run in runs.unfinished_runs(library, instance) if run.order_id == order_id]
    if at_work:
        raise Refused(
            f"run {at_work[0]} does the same work: thumb-pipeline status says how far it is, and "
            f"thumb-pipeline cancel {at_work[0]} stops it; then this command goes on with it"
        )


def _place_order(library: Library, wanted: Regeneration, lease: Lease, done: Summary, run_id: str) -> WorkOrder | None:
    with gauge("examining") as progress:
        plan = plan_regeneration(library, wanted, lease, on_progress=progress.show)
    accept_plan.record(library, plan)
    done.sources, done.pending = plan.n_sources, plan.n_pending
    if plan.rows.is_empty():
        return None
    order = work_orders.place(library, plan, run_id, asked=wanted.asked)
    _print_forecast(forecast(plan, order))
    return order


def _print_forecast(work: Forecast) -> None:
    """Prints the forecast before anything is replaced: how many variants, how many bytes, how long."""
    say(
        f"{counted(work.n_variants, 'variant')} of {counted(work.n_sources, 'source')}: reads "
        f"{human_bytes(work.n_bytes)}, writes about {human_bytes(work.n_bytes_written)}, takes about "
        f"{human_seconds(work.predicted_s)} here; Ctrl-C stops it, the same command goes on"
    )
