"""Tells what a library is at: how far its orders of work are, what was done of late, what failed.

Everything is read from the records. Which runs exist is Dagster's knowledge (`cli.runs`).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from thumb_pipeline.stages import work_orders
from thumb_pipeline.stages.library import Library
from thumb_pipeline.stages.work_orders import WorkOrder

_N_FAILURES = 5
_RATE_OVER = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderProgress:
    """How far one order of work is.

    Attributes:
        run_id: of its run.
        n_variants: to be made in all.
        n_done: recorded since it was placed.
        per_s: variants a second in the last minute.
        left_s: seconds the rest should take at that rate; None while there is none.
        goes_on_by_command: whether the command that asked for it, repeated, goes on with it.
    """

    run_id: str
    n_variants: int
    n_done: int
    per_s: float
    left_s: float | None
    goes_on_by_command: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What the records of a library tell.

    Attributes:
        n_pending: sources that were still being written when they were looked at last.
        n_failed: sources with a remembered refusal.
        n_newly_failed: of these, refused in the stretch of time asked for.
        n_made: variants made in the stretch of time asked for.
        failures: timelapse, source_name, reason, detail, recorded_at of the latest refusals, the newest first.
    """

    n_pending: int
    n_failed: int
    n_newly_failed: int
    n_made: int
    failures: pl.DataFrame


def orders(library: Library, *, now: datetime) -> list[OrderProgress]:
    """The orders that are being carried out or can be gone on with, the latest first."""
    kept = [order for order in work_orders.placed(library) if not work_orders.is_given_up(library, order.id)]
    return [_progress(library, order, now) for order in kept]


def _progress(library: Library, order: WorkOrder, now: datetime) -> OrderProgress:
    n_left = work_orders.n_left(library, order.id)
    elapsed_s = (now - datetime.fromisoformat(order.placed_at)).total_seconds()
    n_before = work_orders.n_left(library, order.id, at=now - _RATE_OVER)
    per_s = (n_before - n_left) / max(1.0, min(elapsed_s, _RATE_OVER.total_seconds()))
    return OrderProgress(
        run_id=order.id,
        n_variants=order.n_variants,
        n_done=order.n_variants - n_left,
        per_s=round(per_s, 1),
        left_s=n_left / per_s if per_s else None,
        goes_on_by_command=bool(order.asked),
    )


def activity(library: Library, *, now: datetime, within: timedelta) -> Activity:
    """What was done within a stretch of time, and what stands."""
    manifest = library.manifest
    keys = manifest.keys()
    failed = pl.col("state") == "failed"
    columns = ("timelapse", "source_name", "reason", "detail", "recorded_at")
    refused = manifest.query(
        keys, lambda rows: rows.filter(failed).select(columns).unique(["timelapse", "source_name"], keep="any")
    )
    recent = (pl.col("state") == "made") & (pl.col("recorded_at") >= now - within) & (pl.col("origin") == "rendered")
    made = manifest.query(keys, lambda rows: rows.select(n=recent.sum()))
    pending = library.inventory.query(
        library.inventory.keys(), lambda rows: rows.select(n=(pl.col("state") == "pending").sum())
    )
    return Activity(
        n_pending=int(pending.item() or 0),
        n_failed=refused.height,
        n_newly_failed=refused.filter(pl.col("recorded_at") >= now - within).height,
        n_made=int(made.item() or 0),
        failures=refused.sort("recorded_at", descending=True).head(_N_FAILURES),
    )
