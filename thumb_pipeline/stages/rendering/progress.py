"""Reports a library's work: how far its orders of work are, what was done lately, what failed.

Everything is read from the records. Dagster knows which runs exist (`cli.dagster.runs`).
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
        per_s: variants a second in the last minute, or since a run took it up; 0 while none works on it.
        left_s: seconds the rest should take at that rate; None while the rate is unknown, 0 when nothing is left.
        goes_on_by_command: whether repeating the command that placed it resumes it.
        asked: what that command asked for, as `stages.rendering.regenerate` writes it down; empty for others.
        is_held: whether a running command holds it, even if its run does not exist yet.
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
    """How fast work goes that many runs share.

    Attributes:
        per_s: timelapses a second, since the first run began.
        left_s: seconds the rest should take at that rate; None while the rate is unknown.
    """

    per_s: float = 0.0
    left_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What the records of a library say about its work.

    Attributes:
        n_pending: sources that were still being written when they were looked at last.
        n_failed: sources with a remembered refusal.
        n_newly_failed: of these, refused in the time asked for.
        n_made: variants made in the time asked for.
        failures: timelapse, source_name, reason, detail, recorded_at of the latest refusals, the newest first; those
            recorded in the future, whose age is unknown, come last.
    """

    n_pending: int
    n_failed: int
    n_newly_failed: int
    n_made: int
    failures: pl.DataFrame


def orders(library: Library, *, now: datetime, begun: Mapping[str, datetime]) -> list[OrderProgress]:
    """The orders that are being carried out or can be resumed, the latest first.

    Args:
        library: the library.
        now: rates cover the time before it; records from after it, by a clock that ran ahead, count in none.
        begun: the orders that runs work on, and since when; the others have no rate.
    """
    unfinished = []
    for order in work_orders.list_placed(library):
        if not work_orders.is_given_up(library, order.id):
            with contextlib.suppress(FileNotFoundError):  # carried out meanwhile
                unfinished.append(_progress(library, order, now, begun.get(order.id)))
    return unfinished


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
    """The rate of the last minute, or since the order was placed or taken up, if that is later.

    A beginning in the future was noted before the clock was set back, and does not count.
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
    """How fast a backfill goes: its runs are about equally large, and a running one counts by its share done.

    Args:
        n_timelapses: in its plan.
        n_requested: how many of these were given to runs.
        n_runs: how many runs that are.
        n_ended: how many of these have ended.
        at_work: the orders of the runs that have not.
        took_s: seconds since the first run began.
    """
    parts = [order.n_done / order.n_variants for order in at_work if order.n_variants]
    n_done = n_requested / max(1, n_runs) * (n_ended + sum(parts))
    per_s = n_done / max(_SHORTEST.total_seconds(), took_s)
    return Pace(per_s=round(per_s, 3), left_s=_left_s(max(0.0, n_timelapses - n_done), per_s))


def activity(library: Library, *, now: datetime, within: timedelta) -> Activity:
    """What was done within a time before now, and what is pending or refused at present."""
    keys = library.manifest.keys()
    since = now - within
    refused = _read_refused(library, keys)
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
    """Whether a record is from that time; one from the future, by a clock that ran ahead, never is."""
    return pl.col("recorded_at").is_between(since, now)


def _read_refused(library: Library, keys: Sequence[str]) -> pl.DataFrame:
    """The refused sources, each once, with its latest reason and detail."""
    columns = ["timelapse", "source_name", "reason", "detail", "recorded_at"]
    failed = pl.col("state") == RecordState.FAILED
    rows = library.manifest.query(keys, lambda rows: rows.filter(failed).select(*columns, MERGE))
    return rows.sort(MERGE, "recorded_at").unique(SOURCE_KEY, keep="last").drop(MERGE)


def _n_made(library: Library, keys: Sequence[str], is_recent: pl.Expr) -> int:
    """How many variants were rendered lately; those without a render time were only recorded anew."""
    is_rendered = (
        (pl.col("origin") == Origin.RENDERED)
        & pl.col("render_ms").is_not_null()
        & (pl.col("state") == RecordState.MADE)
    )
    return int(library.manifest.query(keys, lambda rows: rows.select(n=(is_recent & is_rendered).sum())).item())
