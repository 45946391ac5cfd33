"""Tells what a library is at: how far its orders of work are, what was done of late, what failed.

Everything is read from the records. Which runs exist is Dagster's knowledge (`cli.dagster.runs`).
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from thumb_pipeline.datasets.schemas import SOURCE_KEY
from thumb_pipeline.datasets.slices import MERGE
from thumb_pipeline.domain.plans import Origin, RecordState
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.rendering import work_orders
from thumb_pipeline.stages.rendering.work_orders import WorkOrder

_N_FAILURES = 5
_RATE_OVER = timedelta(minutes=1)
_SHORTEST = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderProgress:
    """How far one order of work is.

    Attributes:
        run_id: of its run.
        n_variants: to be made in all.
        n_done: merged into the manifest since it was placed.
        per_s: variants a second in the last minute, or since it was taken up; 0 while it rests.
        left_s: seconds the rest should take at that rate; None while nothing tells, 0 when nothing is left.
        goes_on_by_command: whether the command that asked for it, repeated, goes on with it.
        asked: what that command asked for, as `stages.rendering.regenerate` writes it down; empty for others.
        is_held: whether a living command is about it, be its run not there yet.
    """

    run_id: str
    n_variants: int
    n_done: int
    per_s: float
    left_s: float | None
    goes_on_by_command: bool
    asked: str
    is_held: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast something goes that many runs do together.

    Attributes:
        per_s: timelapses a second, since the first run began.
        left_s: seconds the rest should take at that rate; None while nothing tells.
    """

    per_s: float = 0.0
    left_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What the records of a library tell.

    Attributes:
        n_pending: sources that were still being written when they were looked at last.
        n_failed: sources with a remembered refusal.
        n_newly_failed: of these, refused in the stretch of time asked for.
        n_made: variants made in the stretch of time asked for.
        failures: timelapse, source_name, reason, detail, recorded_at of the latest refusals, the newest first; those
            from the future, of which nobody knows how old they are, come last.
    """

    n_pending: int
    n_failed: int
    n_newly_failed: int
    n_made: int
    failures: pl.DataFrame


def orders(library: Library, *, now: datetime, begun: Mapping[str, datetime]) -> list[OrderProgress]:
    """The orders that are being carried out or can be gone on with, the latest first.

    Args:
        library: the library.
        now: rates are of the time before; what was recorded later, be it by a clock that ran ahead, is in none.
        begun: the orders that are worked on, and since when; the others rest.
    """
    found = []
    for order in work_orders.list_placed(library):
        if not work_orders.is_given_up(library, order.id):
            with contextlib.suppress(FileNotFoundError):  # carried out meanwhile
                found.append(_progress(library, order, now, begun.get(order.id)))
    return found


def _progress(library: Library, order: WorkOrder, now: datetime, begun: datetime | None) -> OrderProgress:
    recorded_at = work_orders.read_rows_done(library, order.id)["recorded_at"]
    n_left = order.n_variants - recorded_at.len()
    per_s = 0.0 if begun is None else _per_s(order, recorded_at, now, begun)
    return OrderProgress(
        run_id=order.id,
        n_variants=order.n_variants,
        n_done=recorded_at.len(),
        per_s=round(per_s, 3),
        left_s=_left_s(n_left, per_s),
        goes_on_by_command=bool(order.asked),
        asked=order.asked,
        is_held=work_orders.is_held(library, order.id),
    )


def _per_s(order: WorkOrder, recorded_at: pl.Series, now: datetime, begun: datetime) -> float:
    """The rate of the last minute, or since the work began; of an order that was stopped, since it was taken up.

    A beginning that is still to come was noted by a clock that was set back since, and tells nothing.
    """
    beginnings = (now - _RATE_OVER, begun, datetime.fromisoformat(order.placed_at))
    since = max(moment for moment in beginnings if moment <= now)
    n_since = int(((recorded_at > since) & (recorded_at <= now)).sum())
    return n_since / max(_SHORTEST, now - since).total_seconds()


def _left_s(n_left: float, per_s: float) -> float | None:
    if not n_left:
        return 0.0
    return round(n_left / per_s, 1) if per_s > 0 else None


def pace(
    *, n_timelapses: int, n_requested: int, n_runs: int, n_ended: int, at_work: Sequence[OrderProgress], took_s: float
) -> Pace:
    """How fast a backfill goes: its runs have about as many timelapses each, and those at work have done a part.

    Args:
        n_timelapses: of its plan.
        n_requested: of these, handed to runs.
        n_runs: those runs.
        n_ended: of these, at their end.
        at_work: the orders of others.
        took_s: seconds since the first of them began.
    """
    parts = [order.n_done / order.n_variants for order in at_work if order.n_variants]
    n_done = n_requested / max(1, n_runs) * (n_ended + sum(parts))
    per_s = n_done / max(_SHORTEST.total_seconds(), took_s)
    return Pace(per_s=round(per_s, 3), left_s=_left_s(max(0.0, n_timelapses - n_done), per_s))


def activity(library: Library, *, now: datetime, within: timedelta) -> Activity:
    """What was done within a stretch of time, and what stands."""
    keys = library.manifest.keys()
    since = now - within
    refused = _refused(library, keys)
    pending = library.inventory.query(
        library.inventory.keys(), lambda rows: rows.select(n=(pl.col("state") == "pending").sum())
    )
    return Activity(
        n_pending=int(pending.item()),
        n_failed=refused.height,
        n_newly_failed=refused.filter(_is_within(since, now)).height,
        n_made=_n_made(library, keys, _is_within(since, now)),
        failures=refused.sort(pl.col("recorded_at") <= now, "recorded_at", descending=True).head(_N_FAILURES),
    )


def _is_within(since: datetime, now: datetime) -> pl.Expr:
    """Whether a record is of that time; one from the future, by a clock that ran ahead, is of no time."""
    return pl.col("recorded_at").is_between(since, now)


def _refused(library: Library, keys: Sequence[str]) -> pl.DataFrame:
    """The sources that are refused, each once, with what was said of it last."""
    columns = ["timelapse", "source_name", "reason", "detail", "recorded_at"]
    failed = pl.col("state") == RecordState.FAILED
    rows = library.manifest.query(keys, lambda rows: rows.filter(failed).select(*columns, MERGE))
    return rows.sort(MERGE, "recorded_at").unique(SOURCE_KEY, keep="last").drop(MERGE)


def _n_made(library: Library, keys: Sequence[str], is_recent: pl.Expr) -> int:
    """Variants that were rendered of late; one that was only recorded anew took no time to render."""
    is_rendered = (
        (pl.col("origin") == Origin.RENDERED)
        & pl.col("render_ms").is_not_null()
        & (pl.col("state") == RecordState.MADE)
    )
    return int(library.manifest.query(keys, lambda rows: rows.select(n=(is_recent & is_rendered).sum())).item())
