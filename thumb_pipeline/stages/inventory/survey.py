"""Compares listed sources with the inventory: what is new, changed, pending, gone; and records what is accepted.

A survey only reads; `accept` writes what it found. An empty or shrunken listing is reported and not simply believed.
`plan` decides what to make of the sources.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from thumb_pipeline.datasets.rows import by_timelapse
from thumb_pipeline.datasets.schemas import INSTANT, INVENTORY, SOURCE_KEY
from thumb_pipeline.domain.capture_times import time_in_name
from thumb_pipeline.domain.clocks import SLACK
from thumb_pipeline.domain.settings import for_timelapse
from thumb_pipeline.stages.inventory.capture_times import apply_implied_start, dated, read_implied_dates
from thumb_pipeline.stages.inventory.listing import LISTED, SourceListing, sources_of
from thumb_pipeline.stages.inventory.settling import PENDING, SETTLED, settle
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.storage.folders import holds_files

_KNOWN = [*SOURCE_KEY, "n_bytes", "mtime_ns", "state", "looked_at", "captured_at"]
_OUR_TIMES = ["first_seen_at", "looked_at"]
_SURVEYED = [*SOURCE_KEY, "n_bytes", "mtime_ns", "state", "captured_at"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shrinkage:
    """A timelapse whose listing is not believed: how many sources the inventory has, and how many were found."""

    timelapse: str
    n_known: int
    n_found: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What a listing of some timelapses found.

    Attributes:
        keys: the timelapses.
        sources: all of them: timelapse, source_name, n_bytes, mtime_ns, state, captured_at.
        changed: inventory rows to write (`INVENTORY` columns): of new and changed sources, and of redated ones.
        vanished: timelapse and source_name of recorded rows without a file.
        replaced: timelapse and source_name of sources that were settled and now have another size or mtime.
        shrunken: timelapses that lost so many sources that their disk may not be mounted.
        n_left_out: hidden and temporary names, which are no sources.
        others: folders, links and special files inside `frames/`, as key/name.
        ahead: timelapse and source_name of recorded sources whose first_seen_at lies in the future: a clock ran ahead.
    """

    keys: list[str]
    sources: pl.DataFrame
    changed: pl.DataFrame
    vanished: pl.DataFrame
    replaced: pl.DataFrame
    shrunken: list[Shrinkage]
    n_left_out: int
    others: list[str]
    ahead: pl.DataFrame


def survey(
    library: Library, listings: Sequence[SourceListing], *, only: Sequence[str] | None = None, wait: bool = True
) -> Survey:
    """Finds out which listed sources are complete, and what changed; waits at most once, for the settle interval.

    Args:
        library: the library.
        listings: of these timelapses, just made.
        only: the source names that the listings were confined to.
        wait: wait for sources that may still be written; else they are pending until a later survey.
    """
    interval_s = library.settings.settle_interval_s
    over_at = time.monotonic() + interval_s
    keys = [listing.key for listing in listings]
    looked_at = min((listing.looked_at for listing in listings), default=datetime.now(UTC))
    listed = sources_of(listings)
    known = library.inventory.query(keys, lambda rows: rows.select(*_KNOWN, "first_seen_at"), names=only)
    ahead = known.filter(pl.col("first_seen_at") > looked_at + SLACK).select(SOURCE_KEY)
    known = known.select(_KNOWN)
    compared = _compared(listed, known, len(keys), looked_at, interval_s)
    settled = settle(library, compared.filter("is_fresh").select(list(LISTED)), over_at, wait=wait)
    now_complete = compared.filter("stood_still").select(
        *LISTED, state=pl.lit(SETTLED), looked_at=pl.lit(None, INSTANT)
    )
    vanished = _vanished(known, compared, settled)
    changed = _rows_to_write(library, keys, pl.concat([settled, now_complete]), looked_at, only)
    changed = changed.join(vanished, on=SOURCE_KEY, how="anti")
    rewritten = changed.select(_SURVEYED)
    unchanged = compared.filter("is_known").select(_SURVEYED).join(rewritten, on=SOURCE_KEY, how="anti")
    return Survey(
        keys=keys,
        sources=pl.concat([unchanged, rewritten]),
        changed=changed,
        vanished=vanished,
        replaced=compared.filter(pl.col("is_fresh") & (pl.col("state") == SETTLED))
        .select(SOURCE_KEY)
        .join(vanished, on=SOURCE_KEY, how="anti"),
        shrunken=_find_shrunken(library, known, vanished, changed, only),
        n_left_out=sum(len(x.found.names) + len(x.found.temporaries) for x in listings) - listed.height,
        others=[f"{x.key}/{name}" for x in listings for name in x.found.others if not name.startswith(".")],
        ahead=ahead,
    )


def accept(library: Library, found: Survey) -> None:
    """Writes a survey to the inventory: merges what changed, takes out what vanished.

    A first_seen_at in the future is set to now, so that the age of its source grows from now on.
    """
    gone = by_timelapse(found.vanished)
    new = by_timelapse(found.changed)
    for key in sorted({*gone, *new}):
        rows = new.get(key, INVENTORY.empty())
        library.inventory.merge(key, rows, removed=gone.get(key), resolve=_resolved)
    for key, rows in by_timelapse(found.ahead).items():
        library.inventory.merge(key, rows, resolve=_reset_future_times)


def fill_in(library: Library, key: str, facts: pl.DataFrame) -> None:
    """Adds what rendering learned about sources to their rows, where size and mtime are still the same.

    The first digest that was taken under a size and mtime stays. A different one later is bit rot, and a variant that
    is made from rotten bytes must not turn their digest into the recorded one.

    Args:
        library: the library.
        key: the timelapse.
        facts: source_name, n_bytes, mtime_ns, digest, format, width_px, height_px, exif_captured_at.
    """
    clock = for_timelapse(library.settings, key).clock

    def resolve(current: pl.DataFrame, incoming: pl.DataFrame) -> pl.DataFrame:
        learned = [name for name in incoming.columns if name not in ("source_name", "n_bytes", "mtime_ns")]
        first = current.select("source_name", first_digest="digest")
        rows = (
            current.drop(learned)
            .join(incoming, on=["source_name", "n_bytes", "mtime_ns"], how="inner")
            .join(first, on="source_name", how="left")
            .with_columns(digest=pl.coalesce("first_digest", "digest"))
            .drop("first_digest")
        )
        rows = dated(rows, clock, None).select(current.columns)
        return rows.join(current, on=current.columns, how="anti", nulls_equal=True)  # rendered again: nothing to write

    library.inventory.merge(key, facts, resolve=resolve)
    has_exif = facts["exif_captured_at"].is_not_null().any()
    if has_exif or any(time_in_name(name, clock.timezone).day_number is not None for name in facts["source_name"]):
        apply_implied_start(library.inventory, key, clock)


def _compared(
    listed: pl.DataFrame, known: pl.DataFrame, n_timelapses: int, looked_at: datetime, interval_s: float
) -> pl.DataFrame:
    """Listed sources with what is known of each, and one of three verdicts.

    `is_known`: settled and unchanged; `stood_still`: was pending and has not changed for the settle interval;
    `is_fresh`: new, changed, or pending for too short a time.
    """
    # One key column where one will do: at half a million rows that saves half the time and memory of the join.
    on = SOURCE_KEY if n_timelapses > 1 else ["source_name"]
    before = known if n_timelapses > 1 else known.drop("timelapse")
    same = (pl.col("n_bytes") == pl.col("n_bytes_before")) & (pl.col("mtime_ns") == pl.col("mtime_ns_before"))
    waited = (pl.lit(looked_at) - pl.col("looked_at")).dt.total_microseconds() >= interval_s * 1_000_000
    return (
        listed.lazy()
        .join(before.lazy(), on=on, how="left", suffix="_before")
        .with_columns(
            is_known=(same & (pl.col("state") == SETTLED)).fill_null(False),
            stood_still=(same & (pl.col("state") == PENDING) & waited).fill_null(False),
        )
        .with_columns(is_fresh=~(pl.col("is_known") | pl.col("stood_still")))
        .collect()
    )


def _vanished(known: pl.DataFrame, compared: pl.DataFrame, settled: pl.DataFrame) -> pl.DataFrame:
    """Recorded sources that were not listed, or were gone when they were looked at again."""
    n_found = compared.filter(pl.col("n_bytes_before").is_not_null()).height
    lost = settled.height < compared.filter("is_fresh").height
    if n_found == known.height and not lost:
        return known.head(0).select(SOURCE_KEY)
    present = pl.concat([compared.filter(~pl.col("is_fresh")).select(SOURCE_KEY), settled.select(SOURCE_KEY)])
    return known.select(SOURCE_KEY).join(present, on=SOURCE_KEY, how="anti")


def _rows_to_write(
    library: Library, keys: Sequence[str], now: pl.DataFrame, looked_at: datetime, only: Sequence[str] | None
) -> pl.DataFrame:
    """Inventory rows of new and changed sources, and of known ones whose timelapse got another clock."""
    fresh = by_timelapse(now)
    clock_names = library.inventory.query(keys, lambda rows: rows.select("timelapse", "clock").unique(), names=only)
    clocks = {key: for_timelapse(library.settings, key).clock for key in keys}
    outdated = {key for key, name in clock_names.iter_rows() if name != clocks[key].name}
    parts = [INVENTORY.empty()]
    for key in sorted({*outdated, *fresh}):
        rows = _new_rows(fresh.get(key), looked_at)
        if key in outdated:
            other_clock = pl.col("clock") != clocks[key].name
            to_redate = library.inventory.read([key], names=only, where=other_clock)
            rows = pl.concat([rows, to_redate.join(rows, on="source_name", how="anti")])
        parts.append(dated(rows, clocks[key], read_implied_dates(library.inventory, key, clocks[key])))
    return pl.concat(parts)


def _new_rows(now: pl.DataFrame | None, looked_at: datetime) -> pl.DataFrame:
    if now is None:
        return INVENTORY.empty()
    rows = now.with_columns(
        first_seen_at=pl.lit(looked_at, INSTANT), looked_at=pl.col("looked_at").fill_null(looked_at)
    )
    unknown = [pl.lit(None, kind).alias(name) for name, kind in INVENTORY.columns.items() if name not in rows.columns]
    return rows.with_columns(unknown).select(list(INVENTORY.columns))


def _resolved(current: pl.DataFrame, incoming: pl.DataFrame) -> pl.DataFrame:
    """Incoming rows that keep the earliest `first_seen_at` of their source, also when two surveys run at once.

    A changed source loses what rendering learned about it. A row that another process filled in since we read stays:
    ours is older.
    """
    filled = current.filter(pl.col("digest").is_not_null())
    incoming = incoming.join(filled, on=["source_name", "n_bytes", "mtime_ns", "clock"], how="anti")
    earlier = current.select("source_name", earlier=pl.col("first_seen_at"))
    return (
        incoming.join(earlier, on="source_name", how="left")
        .with_columns(first_seen_at=pl.min_horizontal("first_seen_at", "earlier"))
        .drop("earlier")
    )


def _reset_future_times(current: pl.DataFrame, _: pl.DataFrame) -> pl.DataFrame:
    """The rows with a `first_seen_at` in the future; their times that are still to come become now."""
    now = datetime.now(UTC)
    is_ahead = pl.col("first_seen_at") > now + SLACK
    return current.filter(is_ahead).with_columns(pl.min_horizontal(pl.col(c), pl.lit(now, INSTANT)) for c in _OUR_TIMES)


def _find_shrunken(
    library: Library, known: pl.DataFrame, vanished: pl.DataFrame, changed: pl.DataFrame, only: Sequence[str] | None
) -> list[Shrinkage]:
    """Finds timelapses that are empty now, or lost too many sources, both as a number and as a share.

    A renamed source is not a loss. With `only`, the sources that are not named are taken to be there still.
    """
    brakes = library.settings.brakes
    lost = _counts(vanished)
    if only is not None:
        known = library.inventory.query(list(lost), lambda rows: rows.select(SOURCE_KEY))
    had, new = _counts(known), _counts(changed.join(known, on=SOURCE_KEY, how="anti"))
    shrunken = []
    for key, n_lost in sorted(lost.items()):
        n_known = had.get(key, n_lost)
        n_found = n_known - n_lost + new.get(key, 0)
        if only is not None and not holds_files(library.frames(key)):
            n_found = 0
        n_fewer = n_known - n_found
        if n_found == 0 or (n_fewer >= brakes.min_shrink_sources and n_fewer > brakes.max_shrink_ratio * n_known):
            shrunken.append(Shrinkage(timelapse=key, n_known=n_known, n_found=n_found))
    return shrunken


def _counts(rows: pl.DataFrame) -> dict[str, int]:
    return {key: int(n) for key, n in rows.group_by("timelapse").len("n").iter_rows()}
