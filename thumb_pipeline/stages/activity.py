"""Tells what a library is at: how far its orders of work are, what was done of late, what failed.

Everything is read from the records. Which runs exist is Dagster's knowledge (`cli.runs`).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from thumb_pipeline.stages import work_orders
from thumb_pipeline.stages.library import Library

_N_FAILURES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderProgress:
    """How far one order of work is.

    Attributes:
        run_id: of its run.
        n_variants: to be made in all.
        n_done: recorded since it was placed.
        per_s: variants a second since then; 0 while there are none.
        left_s: seconds the rest should take; None while nothing is known.
    """

    run_id: str
    n_variants: int
    n_done: int
    per_s: float
    left_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What the records of a library tell.

    Attributes:
        n_pending: sources that were still being written when they were looked at last.
        n_failed: sources with a remembered refusal.
        n_made: variants made in the stretch of time asked for.
        failures: timelapse, source_name, reason, detail, recorded_at of the latest refusals, the newest first.
    """

    n_pending: int
    n_failed: int
    n_made: int
    failures: pl.DataFrame


def orders(library: Library, *, now: datetime) -> list[OrderProgress]:
    """The orders that are being carried out or were stopped, the latest first."""
    found = []
    for order in work_orders.placed(library):
        n_done = order.n_variants - work_orders.n_left(library, order.id)
        elapsed_s = (now - datetime.fromisoformat(order.placed_at)).total_seconds()
        per_s = n_done / elapsed_s if elapsed_s > 0 else 0.0
        left_s = (order.n_variants - n_done) / per_s if per_s else None
        found.append(
            OrderProgress(run_id=order.id, n_variants=order.n_variants, n_done=n_done, per_s=per_s, left_s=left_s)
        )
    return found


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
        n_made=int(made.item() or 0),
        failures=refused.sort("recorded_at", descending=True).head(_N_FAILURES),
    )
