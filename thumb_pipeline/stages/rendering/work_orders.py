"""Writes a plan down as an order of work that other processes can carry out, cut into chunks.

An order is a folder below `<state>/plans/`, named after its run: the rows with their chunk numbers, and what the plan
found besides. It stays until it is carried out, so that a run that failed can be resumed from it. One that cannot be
read counts as none: its work is planned afresh.
"""

import contextlib
import json
import os
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Annotated

import polars as pl
from pydantic import Field, TypeAdapter

from thumb_pipeline.datasets import sealed, soundness
from thumb_pipeline.datasets.schemas import PLAN, SOURCE_KEY
from thumb_pipeline.datasets.slices import SliceDamaged
from thumb_pipeline.domain.clocks import moment
from thumb_pipeline.domain.documents import TimelapseKey
from thumb_pipeline.domain.identifiers import is_run_id
from thumb_pipeline.domain.layout import SETTINGS_NAME
from thumb_pipeline.domain.paths import inside
from thumb_pipeline.domain.plans import State
from thumb_pipeline.stages.library import clean_up, clock
from thumb_pipeline.stages.library.library import Lease, Library, publish_durably
from thumb_pipeline.stages.library.open import open_with
from thumb_pipeline.stages.library.refused import SettingsUnusable
from thumb_pipeline.stages.planning.plan import Plan
from thumb_pipeline.stages.planning.policy import drop_superseded
from thumb_pipeline.stages.rendering import work_left
from thumb_pipeline.stages.rendering.chunk import ChunkResult
from thumb_pipeline.storage import moving, removing
from thumb_pipeline.storage.publishing import writer_of
from thumb_pipeline.storage.reading import read_small

_LEASE = "lease"
_ORDER = "order.json"
_ROWS = "rows.parquet"
_SEALED_NAME = "order of work"
_MAX_CHUNKS = 64
_KEEP = timedelta(days=7)

CLAIMED = {
    "timelapse": pl.String,
    "source_name": pl.String,
    "source_n_bytes": pl.Int64,
    "source_mtime_ns": pl.Int64,
}
"""What identifies a source that an order will render; a source that was replaced since is another one."""


@dataclass(slots=True, kw_only=True)
class FoundCounts:
    """What a plan found in one timelapse: sources, variants to make by reason, and variants that need nothing."""

    sources: int = 0
    by_reason: dict[str, int] = field(default_factory=dict)
    unchanged: int = 0
    adopted: int = 0
    failed: int = 0
    pending: int = 0


@dataclass(slots=True, kw_only=True)
class WorkOrder:
    """A plan on disk.

    Attributes:
        id: names its folder.
        n_chunks: at most 64; chunks are numbered from 0.
        n_sources: sources with something to make.
        n_variants: variants to make; a fixed denominator for progress.
        n_bytes: bytes of those sources.
        predicted_s: wall time it should take here.
        by_reason: variants by the reason they are made for.
        found: counts of each timelapse with work or adoptions.
        placed_at: when it was written down, ISO, UTC; to show, to sort by and for rates, never to tell what is done.
        asked: the request it was placed for, if the same request resumes it; else empty.
        left_out: timelapses that were refused, with the reason.
        merges: by timelapse, the last merge into the manifest before it was placed; what was merged since is done.
    """

    id: str
    n_chunks: Annotated[int, Field(ge=0, le=_MAX_CHUNKS)]
    n_sources: int
    n_variants: int
    n_bytes: int
    predicted_s: float
    by_reason: dict[str, int]
    found: dict[TimelapseKey, FoundCounts] = field(default_factory=dict)
    placed_at: str = ""
    asked: str = ""
    left_out: dict[str, str] = field(default_factory=dict)
    merges: dict[TimelapseKey, int] = field(default_factory=dict)


_ORDERS = TypeAdapter(WorkOrder)


def describe(library: Library, plan: Plan, order_id: str) -> WorkOrder:
    """The order that a plan amounts to; nothing is written."""
    rows = plan.rows
    sources = rows.unique(SOURCE_KEY)
    predicted_s = rows.height * plan.ms_per_variant / 1000 / library.workers
    reasons = rows.group_by("reason").len("n").sort("reason")
    return WorkOrder(
        id=order_id,
        n_chunks=min(_MAX_CHUNKS, ceil(predicted_s / library.settings.batches.chunk_s)) if rows.height else 0,
        n_sources=sources.height,
        n_variants=rows.height,
        n_bytes=int(sources["source_n_bytes"].sum()),
        predicted_s=round(predicted_s, 1),
        by_reason=dict(zip(reasons["reason"].to_list(), reasons["n"].to_list(), strict=True)),
        found=found_counts(plan),
    )


def place(
    library: Library,
    plan: Plan,
    order_id: str,
    *,
    lease: Lease | None = None,
    asked: str = "",
    left_out: dict[str, str] | None = None,
) -> WorkOrder:
    """Writes a plan down; newest captures are in the first chunk, and no source is in two.

    With a lease, the order is bound to its process: `discard_abandoned` removes it once the process was killed. Others
    stay until no run has worked on them for a week. `list_unfinished` finds an order by `asked`.
    """
    order = describe(library, plan, order_id)
    order.placed_at, order.asked = datetime.now(UTC).isoformat(), asked
    order.left_out = left_out or {}
    order.merges = _last_merges(library, plan.rows)
    os.makedirs(library.order_folder(order_id), exist_ok=True)
    if lease is not None:
        _publish(library, order_id, _LEASE, lease.id.encode())
    rows = _chunked(plan.rows, order.n_chunks)
    _publish(library, order_id, _ROWS, sealed.written(rows, _SEALED_NAME))
    _publish(library, order_id, SETTINGS_NAME, library.written)
    _publish_order(library, order)
    _discard_old(library)
    return order


def _last_merges(library: Library, rows: pl.DataFrame) -> dict[str, int]:
    return {key: library.manifest.last_merge(key) for key in rows["timelapse"].unique().sort()}


def _publish_order(library: Library, order: WorkOrder) -> None:
    _publish(library, order.id, _ORDER, json.dumps(asdict(order)).encode())


def is_placed(library: Library, order_id: str) -> bool:
    """Whether an order waits to be carried out; raises `Refused` as `read`."""
    try:
        read(library, order_id)
    except FileNotFoundError:
        return False
    return True


def read(library: Library, order_id: str) -> WorkOrder:
    """An order that was placed.

    Raises:
        FileNotFoundError: it was carried out, or no run has worked on it for a week, or it cannot be read.
        Refused: that is no id of a run.
    """
    path = _file(library, order_id, _ORDER)
    try:
        order = _ORDERS.validate_json(read_small(path))
        datetime.fromisoformat(order.placed_at)
    except (OSError, ValueError) as error:
        raise FileNotFoundError(f"{path} is not there, or is no order of work: {error}") from error
    return replace(order, id=order_id)


def library_of(library: Library, order_id: str) -> Library:
    """The library with the recipes by which an order was placed, as its rows name them; all else is as it is now.

    A run that carries the order out uses these, even if the settings changed since: so a record never names another
    recipe than its file was made by. The next run plans afresh what that leaves stale.
    """
    try:
        written = read_small(_file(library, order_id, SETTINGS_NAME))
        then = library if written == library.written else open_with(library.root, written)
    except (OSError, SettingsUnusable):  # placed by another version
        return library
    if _recipes(then) == _recipes(library):
        return library
    rendering = library.settings.rendering.model_copy(update={"frame_at_s": then.settings.rendering.frame_at_s})
    recipes = {"variants": then.settings.variants, "background": then.settings.background, "rendering": rendering}
    return replace(library, variants_root=then.variants_root, settings=library.settings.model_copy(update=recipes))


def _recipes(library: Library) -> tuple[object, ...]:
    return library.settings.specs, library.settings.frame_at, library.variants_root


def read_chunk(library: Library, order_id: str, chunk: int) -> pl.DataFrame:
    """The plan rows of one chunk that are still to be done; notes that the order is worked on.

    A row that was merged into the manifest since the order was placed is done, by whichever run. Rows that a newer
    capture superseded are left out.
    """
    _note_work(library, order_id)
    mine = _rows(library, order_id, where=pl.col("chunk") == chunk)
    return drop_superseded(library, work_left.undone(library, mine, _is_done(read(library, order_id))))


def read_rows_left(library: Library, order_id: str) -> pl.DataFrame:
    """The plan rows of an order that are still to be done.

    Raises:
        FileNotFoundError: as `read`.
    """
    return work_left.undone(library, _rows(library, order_id), _is_done(read(library, order_id)))


def read_rows_done(library: Library, order_id: str) -> pl.DataFrame:
    """The plan rows of an order that are done, with `recorded_at`; raises as `read_rows_left`."""
    return work_left.done(library, _rows(library, order_id), _is_done(read(library, order_id)))


def count_left(library: Library, order_id: str) -> int:
    """How many variants of an order are still to be made; raises as `read_rows_left`."""
    return read_rows_left(library, order_id).height


def is_given_up(library: Library, order_id: str) -> bool:
    """Whether an order is abandoned: it was bound to a process, and that process has ended."""
    has_process = os.path.exists(_file(library, order_id, _LEASE))
    return has_process and not is_held(library, order_id)


def list_unfinished(library: Library, asked: str) -> str | None:
    """The id of the latest unfinished order that was placed for this request, by today's recipes; None without one."""
    same = (order.id for order in list_placed(library) if order.asked == asked)
    return next((order_id for order_id in same if library_of(library, order_id) is library), None)


def list_placed(library: Library) -> list[WorkOrder]:
    """The orders that are being carried out or were stopped, the latest first."""
    orders = []
    for name in _list_ids(library):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # carried out meanwhile, or no order at all
            orders.append(read(library, name))
    return sorted(orders, key=lambda order: order.placed_at, reverse=True)


def hand_over(library: Library, order_id: str, new_id: str) -> WorkOrder:
    """Gives an order to another run, which resumes it; an order by an earlier version begins anew."""
    moving.rename_folder(library.order_folder(order_id), library.order_folder(new_id))
    order = read(library, new_id)
    if not order.merges:  # by an earlier version: only the id of its run told what was done
        order.merges = _last_merges(library, _rows(library, new_id))
        _publish_order(library, order)
    return order


def _rows(library: Library, order_id: str, *, where: pl.Expr | None = None) -> pl.DataFrame:
    """The plan rows of an order.

    Raises:
        FileNotFoundError: they are not there.
        SliceDamaged: they cannot be used, or hold what no plan holds; with the remedy.
    """
    path = _file(library, order_id, _ROWS)
    try:
        rows = sealed.read(path, PLAN.columns, _SEALED_NAME, where=where)
    except SliceDamaged as damaged:
        raise SliceDamaged(f"{damaged}; delete {path}, then repeat: what it planned is planned afresh") from damaged
    fault = soundness.fault_in(rows, PLAN, None, removed=None)
    if fault is not None:
        raise SliceDamaged(f"{path} holds impossible rows ({fault}); delete it, then repeat")
    return rows


def _is_done(order: WorkOrder) -> pl.Expr:
    """Which records show that a row is done: the new ones; for an order by an earlier version, those of its own run."""
    return work_left.merged_since(order.merges) if order.merges else work_left.made_by([order.id])


def discard(library: Library, order_id: str) -> None:
    """Removes an order that was carried out; its description goes first, so that half an order is none.

    Only our own files are removed; a folder that holds anything else stays, with that.
    """
    with contextlib.suppress(OSError):
        removing.discard(_file(library, order_id, _ORDER))
    with contextlib.suppress(OSError):
        removing.remove_files(library.order_folder(order_id), _is_ours)


def discard_abandoned(library: Library) -> None:
    """Removes the orders of processes that were killed."""
    for name in _list_ids(library):
        lease_id = _read_lease_id(library, name)
        if lease_id is not None and clean_up.is_abandoned(library, lease_id):
            discard(library, name)


def read_claimed(library: Library, live_runs: Collection[str]) -> pl.DataFrame:
    """The sources that active orders will render, as they were when the orders were placed (`CLAIMED` columns).

    Active orders are those of running commands, and of `live_runs`.
    """
    parts = [pl.DataFrame(schema=CLAIMED)]
    for name in _list_ids(library):
        if (name in live_runs or is_held(library, name)) and is_placed(library, name):
            with contextlib.suppress(OSError, SliceDamaged):  # carried out meanwhile, or no order at all
                parts.append(sealed.read(_file(library, name, _ROWS), CLAIMED, _SEALED_NAME))
    return pl.concat(parts).unique()


def is_held(library: Library, order_id: str) -> bool:
    """Whether an order is bound to a process, and that process is still running."""
    lease_id = _read_lease_id(library, order_id)
    return lease_id is not None and not clean_up.is_abandoned(library, lease_id)


def _read_lease_id(library: Library, order_id: str) -> str | None:
    """The id of the lease of the process that an order is bound to; None where it is bound to none."""
    try:
        return read_small(_file(library, order_id, _LEASE)).decode("ascii", "replace")
    except OSError:
        return None


def fold(results: list[ChunkResult]) -> ChunkResult:
    """The sum of what chunks did."""
    total = ChunkResult(duration_s=sum(result.duration_s for result in results))
    for result in results:
        for key, counts in result.by_timelapse.items():
            total.by_timelapse[key] = total.by_timelapse[key] + counts if key in total.by_timelapse else counts
        total.slowest = sorted([*total.slowest, *result.slowest], key=lambda s: -s[1])[:5]
        total.failures = [*total.failures, *result.failures][:50]
    return total


def found_counts(plan: Plan) -> dict[str, FoundCounts]:
    """What a plan found, by timelapse; only those with work or adoptions, as only these enter a run."""
    counts: dict[str, FoundCounts] = {}
    for part in plan.parts:
        busy = {*part.rows["timelapse"].unique(), *part.adopted["timelapse"].unique()}
        for key, n in _count(part.survey.sources, busy):
            counts[key] = FoundCounts(sources=n)
        for key, n in _count(part.survey.sources.filter(pl.col("state") == "pending"), busy):
            counts[key].pending = n
        for key, n in _count(part.failed, busy):
            counts[key].failed = n
        for key, reason, n in part.rows.group_by("timelapse", "reason").len("n").sort("reason").iter_rows():
            counts[key].by_reason[reason] = n
        for key, state, n in part.tally.group_by("timelapse", "state").agg(pl.col("n").sum()).iter_rows():
            if key in busy and state == State.VALID.value:
                counts[key].unchanged = n
            if key in busy and state == State.ADOPTED:
                counts[key].adopted = n
    return counts


def _count(rows: pl.DataFrame, keys: set[str]) -> list[tuple[str, int]]:
    counted = rows.filter(pl.col("timelapse").is_in(list(keys))).group_by("timelapse").len("n")
    return [(str(key), int(n)) for key, n in counted.iter_rows()]


def _chunked(rows: pl.DataFrame, n_chunks: int) -> pl.DataFrame:
    if n_chunks == 0:
        return rows
    order = (
        rows.group_by(*SOURCE_KEY)
        .agg(pl.col("captured_at").first())
        .sort("captured_at", "timelapse", "source_name", descending=[True, False, False], nulls_last=True)
        .with_row_index("place")
    )
    size = ceil(order.height / n_chunks)
    numbers = order.select(*SOURCE_KEY, chunk=(pl.col("place") // size).cast(pl.Int32))
    return rows.drop("chunk").join(numbers, on=SOURCE_KEY).select(rows.columns)


def _discard_old(library: Library) -> None:
    """Removes the orders that no run has worked on for a week, by a steady clock, and that no process holds."""
    ages = clock.look(library.state)
    for name in _list_ids(library):
        try:
            worked_at = moment(os.stat(library.order_folder(name)).st_mtime)
        except FileNotFoundError:
            continue  # carried out meanwhile
        if ages.is_past(worked_at, _KEEP) and not is_held(library, name):
            discard(library, name)


def _note_work(library: Library, order_id: str) -> None:
    """Notes that an order is worked on: by its folder's mtime, as its run has no lease that the order could name."""
    with contextlib.suppress(OSError):
        os.utime(library.order_folder(order_id))


def _list_ids(library: Library) -> list[str]:
    """The ids of folders that may be orders; anything else there is not ours."""
    try:
        return [name for name in os.listdir(library.plans) if is_run_id(name)]
    except FileNotFoundError:
        return []


def _is_ours(name: str) -> bool:
    return name in (_LEASE, _ORDER, _ROWS, SETTINGS_NAME) or writer_of(os.fsencode(name)) is not None


def _publish(library: Library, order_id: str, name: str, data: bytes) -> None:
    publish_durably(os.fsencode(_file(library, order_id, name)), data)


def _file(library: Library, order_id: str, name: str) -> str:
    return inside(library.order_folder(order_id), name)
