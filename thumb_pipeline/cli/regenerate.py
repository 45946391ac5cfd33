"""`thumb-pipeline regenerate`: renders again what is right already, and goes on where it was stopped.

What is to be done is planned by `stages.regenerate`; it is carried out as by `generate`.
"""

import time
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from thumb_pipeline.cli.console import (
    JsonOption,
    LibraryOption,
    chosen_library,
    gauge,
    say,
    source_text,
)
from thumb_pipeline.cli.generate import Summary, carry_out, clean_up_after_killed, conclude
from thumb_pipeline.cli.instance import settle_run_database
from thumb_pipeline.cli.selection import AllOption, SourcesOption, TimelapsesOption, VariantsOption
from thumb_pipeline.domain.quantities import counted, human_bytes, human_seconds
from thumb_pipeline.stages.library import Lease, Library, Refused

if TYPE_CHECKING:
    from thumb_pipeline.stages.regenerate import Regeneration
    from thumb_pipeline.stages.work_orders import WorkOrder


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
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help="Only so many sources, the newest.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Render again what is right already; resumable."""
    from thumb_pipeline.stages.regenerate import Regeneration

    opened = chosen_library(library)
    wanted = Regeneration(
        timelapses=tuple(timelapse or ()),
        cameras=tuple(camera or ()),
        sources=tuple(source_text(name) for name in source or ()),
        variants=tuple(variant or ()),
        since=None if since is None else since.date(),
        failed=failed,
        limit=limit,
    )
    if not everything and wanted == Regeneration():
        raise Refused(
            "say what to render again: --all, or --timelapse, --camera, --source, --variant, --since, --failed"
        )
    conclude(opened, *_regenerated(opened, wanted), json=json)


def _regenerated(library: Library, wanted: "Regeneration") -> tuple[Summary, list[str], str | None]:
    from thumb_pipeline.cli import runs

    started = time.monotonic()
    run_ids, stopped = [], None
    with library.lease() as lease:
        settle_run_database(library)
        clean_up_after_killed(library)
        done = Summary(sources=0)
        run_id = runs.new_run_id()
        order = _resumed(library, wanted, run_id) or _placed(library, wanted, lease, done, run_id)
        if order is not None:
            done.sources = done.sources or order.n_sources
            stopped = carry_out(library, order, run_id, lease, done, statistics=True)
            run_ids.append(run_id)
    done.duration_s = round(time.monotonic() - started, 3)
    return done, run_ids, stopped


def _resumed(library: Library, wanted: "Regeneration", run_id: str) -> "WorkOrder | None":
    """What is left of the last time the same was asked for, if that did not get to its end."""
    from thumb_pipeline.stages import work_orders

    earlier = work_orders.unfinished(library, wanted.asked)
    if earlier is None:
        return None
    left = work_orders.n_left(library, earlier)
    order = work_orders.hand_over(library, earlier, run_id)
    say(f"going on with run {earlier}, of {order.placed_at}: {left:,} of {order.n_variants:,} variants are left")
    return order


def _placed(library: Library, wanted: "Regeneration", lease: Lease, done: Summary, run_id: str) -> "WorkOrder | None":
    from thumb_pipeline.stages import recording, work_orders
    from thumb_pipeline.stages.regenerate import plan_regeneration

    with gauge("examining") as progress:
        plan = plan_regeneration(library, wanted, lease, on_progress=progress.show)
    recording.record(library, plan)
    done.sources, done.pending = plan.n_sources, plan.n_pending
    if plan.rows.is_empty():
        return None
    order = work_orders.place(library, plan, run_id, asked=wanted.asked)
    say(
        f"{counted(order.n_variants, 'variant')} of {counted(order.n_sources, 'source')}: reads "
        f"{human_bytes(order.n_bytes)}, writes about {human_bytes(order.n_variants * plan.bytes_per_variant)}, takes "
        f"about {human_seconds(order.predicted_s)} here; Ctrl-C stops it, the same command goes on"
    )
    return order
