"""Lists the sources of timelapses and compares them with the inventory: what is new, changed, pending, gone.

Reads only; `accept` writes what a survey found. An empty or shrunken listing is a finding, never a fact by itself.
What must be made of the sources is `plan`'s question.
"""

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import polars as pl

from thumb_pipeline.datasets.schemas import INSTANT, INVENTORY
from thumb_pipeline.domain import names
from thumb_pipeline.domain.captures import Basis, Clock, capture, implied_start
from thumb_pipeline.domain.layout import CAMERAS_FOLDER, is_camera_folder, timelapse_key
from thumb_pipeline.domain.settings import BrakesTable
from thumb_pipeline.stages.library import Library
from thumb_pipeline.storage.folders import FolderListing, has_end_marker, list_files, list_subfolders, look_at

_LISTED = {"timelapse": pl.String, "source_name": pl.String, "n_bytes": pl.Int64, "mtime_ns": pl.Int64}
_WHO = ["timelapse", "source_name"]
_SAME = ["timelapse", "source_name", "n_bytes", "mtime_ns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """The timelapses of a library.

    Attributes:
        keys: of the folders on the disk.
        vanished: of those that have an inventory and no folder any more.
        unmatched: folders below `cameras/` that are no camera's and no timelapse's, relative to the library.
    """

    keys: list[str]
    vanished: list[str]
    unmatched: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceListing:
    """What lies in one `frames/` folder.

    Attributes:
        key: the timelapse.
        files: timelapse, source_name, n_bytes, mtime_ns of every source.
        n_left_out: hidden and temporary names, which are no sources.
        others: folders, links and special files, as key/name.
        looked_at: when.
    """

    key: str
    files: pl.DataFrame
    n_left_out: int
    others: list[str]
    looked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Shrinkage:
    """A timelapse whose listing is not believed: rows the inventory has, and how many of them were found."""

    timelapse: str
    n_known: int
    n_found: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What a listing of some timelapses found.

    Attributes:
        keys: the timelapses.
        sources: the inventory as it now should be (`INVENTORY` columns).
        changed: those rows of it that differ from the recorded ones.
        vanished: timelapse and source_name of recorded rows without a file.
        shrunken: timelapses whose losses look like a disk that is not there.
        n_left_out: hidden and temporary names, which are no sources.
        others: folders, links and special files inside `frames/`, as key/name.
    """

    keys: list[str]
    sources: pl.DataFrame
    changed: pl.DataFrame
    vanished: pl.DataFrame
    shrunken: list[Shrinkage]
    n_left_out: int
    others: list[str]


def discover(library: Library) -> Discovery:
    """Finds the library's timelapses, on the disk and in the inventory. A library without `cameras/` is empty.

    Raises:
        ArchiveUnavailable: a folder cannot be listed.
    """
    keys: list[str] = []
    unmatched: list[str] = []
    for camera in _subfolders(library.cameras):
        if not is_camera_folder(camera):
            unmatched.append(f"{CAMERAS_FOLDER}/{camera}")
            continue
        for timelapse in _subfolders(os.path.join(library.cameras, camera)):
            try:
                keys.append(timelapse_key(camera, timelapse))
            except ValueError:
                unmatched.append(f"{CAMERAS_FOLDER}/{camera}/{timelapse}")
    return Discovery(keys=keys, vanished=sorted(set(library.inventory.keys()) - set(keys)), unmatched=unmatched)


def list_sources(library: Library, key: str, *, only: Sequence[str] | None = None) -> SourceListing:
    """Lists the sources of one timelapse.

    Args:
        library: the library.
        key: which timelapse.
        only: looks at these source names alone (a sensor's hint); costs by their number, not by the archive.

    Raises:
        ArchiveUnavailable: the folder cannot be read; nothing may be concluded from it.
    """
    folder = library.frames(key)
    listing = list_files(folder) if only is None else look_at(folder, only)
    listed = listing_frame(key, listing)
    # The rule looks at first bytes and ASCII endings, which escaping leaves as they are.
    is_source = [not names.is_left_out(text.encode()) for text in listing.names]
    files = listed.filter(pl.Series(is_source, dtype=pl.Boolean))
    return SourceListing(
        key=key,
        files=files,
        n_left_out=listed.height - files.height + len(listing.temporaries),
        others=[f"{key}/{name}" for name in listing.others if not name.startswith(".")],
        looked_at=datetime.now(UTC),
    )


def survey(library: Library, listings: Sequence[SourceListing], *, only: Sequence[str] | None = None) -> Survey:
    """Settles which listed sources are complete, and what changed; waits at most once, for the settle interval.

    Args:
        library: the library.
        listings: fresh ones.
        only: the source names that the listings were confined to.
    """
    over_at = time.monotonic() + library.settings.settle_interval_s
    keys = [listing.key for listing in listings]
    listed = pl.concat([listing.files for listing in listings]) if listings else pl.DataFrame(schema=_LISTED)
    looked_at = min((listing.looked_at for listing in listings), default=datetime.now(UTC))
    known = library.inventory.read(keys, names=only)
    candidates = _unsettled(listed, known, looked_at, library.settings.settle_interval_s)
    settled = _settle(library, candidates, over_at)
    found = pl.concat([listed.join(candidates, on=_SAME, how="anti"), settled.select(list(_LISTED))])
    vanished = known.join(found, on=_WHO, how="anti").select(_WHO)
    changed = _changed(library, known, settled, looked_at)
    kept = known.join(changed, on=_WHO, how="anti").join(vanished, on=_WHO, how="anti")
    return Survey(
        keys=keys,
        sources=pl.concat([kept, changed]),
        changed=changed,
        vanished=vanished,
        shrunken=_shrunken(known, vanished, library.settings.brakes) if only is None else [],
        n_left_out=sum(listing.n_left_out for listing in listings),
        others=[name for listing in listings for name in listing.others],
    )


def accept(library: Library, found: Survey) -> None:
    """Makes a survey the inventory: merges what changed, takes out what vanished."""
    gone = found.vanished.partition_by("timelapse", as_dict=True)
    new = found.changed.partition_by("timelapse", as_dict=True)
    for (key,) in sorted({*gone, *new}):
        rows = new.get((key,), INVENTORY.empty())
        library.inventory.merge(str(key), rows, removed=gone.get((key,)), resolve=_keep_first_seen)


def fill_in(library: Library, key: str, facts: pl.DataFrame) -> None:
    """Adds what rendering learned about sources to their rows, where these still speak of the same bytes.

    Args:
        library: the library.
        key: the timelapse.
        facts: source_name, n_bytes, mtime_ns, digest, format, width_px, height_px, exif_captured_at.
    """
    clock = library.settings.for_timelapse(key).clock

    def resolve(current: pl.DataFrame, incoming: pl.DataFrame) -> pl.DataFrame:
        learned = [name for name in incoming.columns if name not in ("source_name", "n_bytes", "mtime_ns")]
        rows = current.drop(learned).join(incoming, on=["source_name", "n_bytes", "mtime_ns"], how="inner")
        return _dated(rows, clock, None)

    library.inventory.merge(key, facts, resolve=resolve)
    if facts["exif_captured_at"].is_not_null().any():
        _apply_implied_start(library, key, clock)


def in_capture_order(sources: pl.LazyFrame) -> pl.LazyFrame:
    """Sorts inventory rows as they were taken: by instant; undated numbered days by (day, time), after the dated."""
    undated = pl.col("day_number").is_not_null() & (pl.col("captured_at_basis") == Basis.MTIME.value)
    return sources.sort(
        "timelapse",
        pl.when(undated).then("day_number").fill_null(-1),
        pl.when(undated).then("time_of_day_s").fill_null(-1),
        "captured_at",
        "source_name",
    )


def listing_frame(key: str, listing: FolderListing) -> pl.DataFrame:
    """A folder's listing as a table: timelapse, source_name, n_bytes, mtime_ns."""
    return pl.DataFrame(
        {
            "timelapse": pl.repeat(key, len(listing.names), dtype=pl.String, eager=True),
            "source_name": pl.Series(listing.names, dtype=pl.String),
            "n_bytes": pl.Series(listing.n_bytes, dtype=pl.Int64),
            "mtime_ns": pl.Series(listing.mtimes_ns, dtype=pl.Int64),
        }
    )


def _unsettled(
    listed: pl.DataFrame, known: pl.DataFrame, looked_at: datetime, settle_interval_s: float
) -> pl.DataFrame:
    """Listed files that have not been seen with this size and mtime twice, far enough apart."""
    waited = (pl.lit(looked_at) - pl.col("looked_at")).dt.total_microseconds() >= settle_interval_s * 1_000_000
    settled = known.filter(pl.col("state") == "settled")
    pending = known.filter((pl.col("state") == "pending") & waited)
    fresh = listed.join(settled, on=_SAME, how="anti")
    return fresh.join(pending.select(*_SAME, was_seen=pl.lit(True)), on=_SAME, how="left").with_columns(
        pl.col("was_seen").fill_null(False)
    )


def _settle(library: Library, candidates: pl.DataFrame, over_at: float) -> pl.DataFrame:
    """The candidates as they are now (timelapse, source_name, n_bytes, mtime_ns, state); vanished ones are left out.

    End markers are read while the interval runs; what has none, or was not reached, is looked at again when it is over.
    """
    seen, fresh = candidates.filter(pl.col("was_seen")), candidates.filter(~pl.col("was_seen"))
    complete = pl.Series([_is_complete(library, row, over_at) for row in fresh.iter_rows()], dtype=pl.Boolean)
    waiting = fresh.filter(~complete)
    if not waiting.is_empty():
        time.sleep(max(0.0, over_at - time.monotonic()))
    again = _look_again(library, waiting).join(waiting.select(*_SAME, stood_still=pl.lit(True)), on=_SAME, how="left")
    state = pl.when(pl.col("stood_still").is_null()).then(pl.lit("pending")).otherwise(pl.lit("settled"))
    return pl.concat(
        [
            pl.concat([seen, fresh.filter(complete)]).select(*_SAME, state=pl.lit("settled")),
            again.select(*_SAME, state=state),
        ]
    )


def _is_complete(library: Library, row: tuple[str, str, int, int, bool], until: float) -> bool:
    if time.monotonic() > until:
        return False
    key, text, *_ = row
    return has_end_marker(os.path.join(os.fsencode(library.frames(key)), names.to_bytes(text)))


def _look_again(library: Library, waiting: pl.DataFrame) -> pl.DataFrame:
    frames = [
        listing_frame(str(key), look_at(library.frames(str(key)), rows["source_name"].to_list()))
        for (key,), rows in waiting.partition_by("timelapse", as_dict=True).items()
    ]
    return pl.concat(frames) if frames else pl.DataFrame(schema=_LISTED)


def _changed(library: Library, known: pl.DataFrame, settled: pl.DataFrame, looked_at: datetime) -> pl.DataFrame:
    """Inventory rows to write: new and changed sources, and known ones whose timelapse got another clock."""
    parts = []
    new = settled.partition_by("timelapse", as_dict=True)
    before = known.partition_by("timelapse", as_dict=True)
    for key in sorted({str(k) for (k,) in (*new, *before)}):
        clock = library.settings.for_timelapse(key).clock
        mine = before.get((key,), INVENTORY.empty())
        rows = _new_rows(new.get((key,)), mine, looked_at)
        retold = mine.filter(pl.col("clock") != clock.name).join(rows, on="source_name", how="anti")
        if not (rows.is_empty() and retold.is_empty()):
            parts.append(_dated(pl.concat([rows, retold]), clock, _implied(mine, clock)))
    return pl.concat(parts) if parts else INVENTORY.empty()


def _new_rows(settled: pl.DataFrame | None, known: pl.DataFrame, looked_at: datetime) -> pl.DataFrame:
    if settled is None or settled.is_empty():
        return INVENTORY.empty()
    earlier = known.select("source_name", "first_seen_at")
    rows = settled.join(earlier, on="source_name", how="left").with_columns(
        pl.col("first_seen_at").fill_null(pl.lit(looked_at, INSTANT)), looked_at=pl.lit(looked_at, INSTANT)
    )
    unknown = [pl.lit(None, kind).alias(name) for name, kind in INVENTORY.columns.items() if name not in rows.columns]
    return rows.with_columns(unknown).select(list(INVENTORY.columns))


def _dated(rows: pl.DataFrame, clock: Clock, implied: date | None) -> pl.DataFrame:
    """Rows with captured_at told by name, EXIF or mtime."""
    told = [
        capture(name, exif, mtime_ns, clock, implied)
        for name, exif, mtime_ns in rows.select("source_name", "exif_captured_at", "mtime_ns").iter_rows()
    ]
    return rows.with_columns(
        pl.Series("captured_at", [c.captured_at for c in told], INSTANT),
        pl.Series("captured_at_basis", [c.basis.value for c in told], pl.String),
        pl.Series("day_number", [c.day_number for c in told], pl.Int32),
        pl.Series("time_of_day_s", [c.time_of_day_s for c in told], pl.Int32),
        clock=pl.lit(clock.name),
    ).select(list(INVENTORY.columns))


def _implied(known: pl.DataFrame, clock: Clock) -> date | None:
    """The start date most frames with both a day number and an EXIF time agree on; None where none has both."""
    both = known.filter((pl.col("captured_at_basis") == Basis.EXIF.value) & pl.col("day_number").is_not_null())
    starts = [
        implied_start(day, instant, clock.timezone)
        for day, instant in both.select("day_number", "captured_at").iter_rows()
    ]
    return max(sorted(set(starts)), key=starts.count) if starts else None


def _apply_implied_start(library: Library, key: str, clock: Clock) -> None:
    """Dates the numbered frames that have no EXIF of their own by those that have."""
    rows = library.inventory.read([key])
    implied = _implied(rows, clock)
    undated = (pl.col("captured_at_basis") == Basis.MTIME.value) & pl.col("day_number").is_not_null()
    if implied is not None:
        library.inventory.merge(
            key, rows.filter(undated), resolve=lambda current, _: _dated(current.filter(undated), clock, implied)
        )


def _keep_first_seen(current: pl.DataFrame, incoming: pl.DataFrame) -> pl.DataFrame:
    """Two surveys at once agree on the earlier first sight."""
    earlier = current.select("source_name", earlier=pl.col("first_seen_at"))
    return (
        incoming.join(earlier, on="source_name", how="left")
        .with_columns(first_seen_at=pl.min_horizontal("first_seen_at", "earlier"))
        .drop("earlier")
    )


def _shrunken(known: pl.DataFrame, vanished: pl.DataFrame, brakes: BrakesTable) -> list[Shrinkage]:
    counts = (
        known.group_by("timelapse")
        .len("n_known")
        .join(vanished.group_by("timelapse").len("n_lost"), on="timelapse")
        .sort("timelapse")
    )
    return [
        Shrinkage(timelapse=key, n_known=n_known, n_found=n_known - n_lost)
        for key, n_known, n_lost in counts.iter_rows()
        if n_lost == n_known or (n_lost >= brakes.min_shrink_sources and n_lost > brakes.max_shrink_ratio * n_known)
    ]


def _subfolders(folder: str) -> Iterable[str]:
    try:
        return list_subfolders(folder)
    except FileNotFoundError:
        return []
