"""Finds the sources that orphaned files were made from, and the places where these files belong.

Nothing is moved here; `move_orphans` does that. The joins are in `analytics.matching`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from thumb_pipeline.analytics.matching import NO_PAIRS, SOURCE, by_name, by_provenance, of_sources
from thumb_pipeline.datasets.schemas import FILE_KEY, SOURCE_KEY, VARIANT_KEY
from thumb_pipeline.domain import names
from thumb_pipeline.domain.capture_times import Basis, capture
from thumb_pipeline.domain.findings import OrphanKind
from thumb_pipeline.domain.geometry import variant_size
from thumb_pipeline.domain.layout import parse_key
from thumb_pipeline.domain.name_hints import hints
from thumb_pipeline.domain.settings import for_timelapse
from thumb_pipeline.stages.examining.unclaimed import read_digests, read_evidence
from thumb_pipeline.stages.inventory.capture_times import read_implied_dates
from thumb_pipeline.stages.inventory.settling import SETTLED
from thumb_pipeline.stages.library.library import Lease, Library
from thumb_pipeline.stages.library.progress import Progress
from thumb_pipeline.storage import moving

MOVES = {
    "timelapse": pl.String,  # where the file lies
    "variant_path": pl.String,
    "variant": pl.String,
    "to_timelapse": pl.String,  # where it belongs
    "to_path": pl.String,
    "source_name": pl.String,
    "source_n_bytes": pl.Int64,  # of the source as listed
    "source_mtime_ns": pl.Int64,
    "source_digest": pl.String,
    "frame_at": pl.String,
    "n_bytes": pl.Int64,  # of the file
    "mtime_ns": pl.Int64,
    "width_px": pl.Int32,
    "height_px": pl.Int32,
    "checksum": pl.String,
    "is_trusted": pl.Boolean,  # by its name alone
}
"""The columns of a table of files, each of which belongs in an empty place."""

_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """The matches of files that nothing expects.

    Attributes:
        moves: the files that can go to an empty place (`MOVES` columns).
        redundant: the files (`FILE_KEY` columns) whose place is taken or cannot be reached by a rename.
        digests: timelapse, source_name, n_bytes, mtime_ns, digest of the sources that were read for this.
    """

    moves: pl.DataFrame
    redundant: pl.DataFrame
    digests: pl.DataFrame


NO_DIGESTS = pl.DataFrame(
    schema={
        "timelapse": pl.String,
        "source_name": pl.String,
        "n_bytes": pl.Int64,
        "mtime_ns": pl.Int64,
        "digest": pl.String,
    }
)


def match(
    library: Library,
    orphans: pl.DataFrame,
    sources: pl.DataFrame,
    missing: pl.DataFrame,
    lease: Lease,
    *,
    on_progress: Progress | None = None,
) -> Matches:
    """Matches orphans with sources, by their provenance or, if they carry none, by name and dimensions.

    Args:
        library: the library.
        orphans: `stages.planning.orphans.ORPHANS` columns.
        sources: timelapse, source_name, n_bytes, mtime_ns, state, captured_at of all sources that may match.
        missing: timelapse, source_name, variant, variant_path of their variants that have no file.
        lease: ours.
        on_progress: called with the number of files opened.
    """
    readable = orphans.filter(~pl.col("kind").is_in([OrphanKind.TEMPORARY.value, OrphanKind.FOREIGN_TEMPORARY.value]))
    evidence = read_evidence(library, readable, lease, on_progress=on_progress)
    ours, foreign = evidence.filter(pl.col("variant") != ""), evidence.filter(pl.col("variant") == "")
    complete = sources.filter(pl.col("state") == SETTLED)
    places = missing.rename({"variant_path": "to_path"})
    pairs, redundant, digests = _match_by_provenance(library, ours, complete, places, lease)
    named_pairs, named_redundant = _match_by_name(library, foreign, complete, places, pairs)
    moves = pl.concat([_moves(ours, pairs, complete, places), _moves(foreign, named_pairs, complete, places)])
    movable = pl.Series([_can_move(library, row) for row in moves.iter_rows(named=True)], dtype=pl.Boolean)
    return Matches(
        moves=moves.filter(movable),
        redundant=pl.concat([redundant, named_redundant, moves.filter(~movable).select(FILE_KEY)]).unique(),
        digests=digests,
    )


def _match_by_provenance(
    library: Library, files: pl.DataFrame, sources: pl.DataFrame, places: pl.DataFrame, lease: Lease
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Pairs of files and places, the files whose places are taken, and the digests that were read for the matching."""
    if files.is_empty():
        return NO_PAIRS, files.select(FILE_KEY), NO_DIGESTS
    alike = sources.join(files.select(n_bytes="source_n_bytes"), on="n_bytes", how="semi")
    expected = _describe_sources(library, alike)
    empty = _places_with_sources(expected, places)
    first = by_provenance(files, empty, name_alone=True)
    waiting = files.join(first, on=FILE_KEY, how="anti")
    free = empty.join(first.rename({"timelapse": "_", "to_timelapse": "timelapse"}), on=VARIANT_KEY, how="anti")
    unread = (
        free.filter(pl.col("digest").is_null())
        .join(waiting, on="source_n_bytes", how="semi")
        .select(*SOURCE_KEY, n_bytes="source_n_bytes", mtime_ns="source_mtime_ns")
        .unique()
    )
    digests = read_digests(library, unread, lease)
    pairs = pl.concat([first, by_provenance(waiting, _with_digests(free, digests))])
    unmatched = files.join(pairs, on=FILE_KEY, how="anti")
    wanted = _required(library, expected).join(_with_digests(expected, digests), on="timelapse")
    return pairs, of_sources(unmatched, wanted), digests


def _describe_sources(library: Library, sources: pl.DataFrame) -> pl.DataFrame:
    """Sources with the columns of a provenance: source_n_bytes, source_mtime_ns, digest (if known), name_digest."""
    digests = [names.name_digest(names.to_bytes(name)) for name in sources["source_name"]]
    known = _read_recorded(library, sources, "digest")
    return (
        sources.select(*SOURCE_KEY, "n_bytes", "mtime_ns")
        .with_columns(name_digest=pl.Series(digests, dtype=pl.String))
        .join(known, on=["timelapse", "source_name", "n_bytes", "mtime_ns"], how="left")
        .rename({"n_bytes": "source_n_bytes", "mtime_ns": "source_mtime_ns"})
    )


def _read_recorded(library: Library, sources: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """The inventory's columns for those sources whose size and mtime are still as recorded there."""
    identity = ["timelapse", "source_name", "n_bytes", "mtime_ns"]
    wanted = sources.lazy().select(identity)
    return library.inventory.query(
        sources["timelapse"].unique().to_list(),
        lambda rows: rows.select(*identity, *columns).join(wanted, on=identity, how="semi"),
    )


def _places_with_sources(sources: pl.DataFrame, places: pl.DataFrame) -> pl.DataFrame:
    """Empty places with the columns that are known of their sources."""
    columns = ("digest", "name_digest", "source_n_bytes", "source_mtime_ns")
    joined = places.join(sources, on=SOURCE_KEY)
    kinds = {"digest": pl.String, "name_digest": pl.String}
    unknown = [pl.lit(None, kinds.get(c, pl.Int64)).alias(c) for c in columns if c not in joined.columns]
    return joined.with_columns(unknown).select(*places.columns, *columns)


def _with_digests(rows: pl.DataFrame, digests: pl.DataFrame) -> pl.DataFrame:
    read = digests.select(*SOURCE_KEY, read="digest")
    joined = rows.join(read, on=SOURCE_KEY, how="left")
    return joined.with_columns(digest=pl.coalesce("digest", "read")).drop("read")


def _required(library: Library, sources: pl.DataFrame) -> pl.DataFrame:
    """The variants that the settings ask for: timelapse, variant."""
    keys = sources["timelapse"].unique().to_list()
    rows = [(key, spec.name) for key in keys for spec in for_timelapse(library.settings, key).specs]
    return pl.DataFrame(rows, schema={"timelapse": pl.String, "variant": pl.String}, orient="row")


def _match_by_name(
    library: Library, files: pl.DataFrame, sources: pl.DataFrame, places: pl.DataFrame, pairs: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Pairs of files and places by name and dimensions alone, and the files whose places are taken.

    A source whose dimensions are not known yet never matches; `generate` reads it anyway.
    """
    hinted = pl.DataFrame(
        list(_read_hints(library, files, sources["timelapse"].unique().to_list())),
        schema=dict.fromkeys((*FILE_KEY, "variant", "to_timelapse", "rung", "value"), pl.String),
        orient="row",
    ).unique()
    candidates = sources.join(hinted.select(timelapse="to_timelapse"), on="timelapse", how="semi")
    known = _read_recorded(library, candidates, "width_px", "height_px", "captured_at_basis")
    # A source that is not in the inventory yet has no known dimensions either: it can only make others ambiguous.
    dated = (pl.col("captured_at_basis") != Basis.MTIME.value).fill_null(True)
    candidates = candidates.join(known, on=["timelapse", "source_name", "n_bytes", "mtime_ns"], how="left")
    candidates = candidates.with_columns(is_dated=dated)
    matched = by_name(hinted, candidates)
    fits = _of_right_size(library, matched, files, candidates)
    taken = pairs.select(timelapse="to_timelapse", source_name="source_name", variant="variant")
    free = places.select(VARIANT_KEY).join(taken, on=VARIANT_KEY, how="anti")
    free = free.rename({"timelapse": "to_timelapse"})
    placed = fits.join(free, on=[*SOURCE, "variant"], how="semi").sort(FILE_KEY)
    placed = placed.unique([*SOURCE, "variant"], keep="first", maintain_order=True)
    return placed, fits.join(placed, on=FILE_KEY, how="anti").select(FILE_KEY)


def _read_hints(
    library: Library, files: pl.DataFrame, keys: Sequence[str]
) -> Iterator[tuple[str, str, str, str, str, str]]:
    specs = tuple(library.settings.specs.values())
    implied = {}
    for key, path in files.select(FILE_KEY).iter_rows():
        for hint in hints(path, specs):
            for source in hint.sources:
                yield key, path, hint.variant, key, "name", source
                yield key, path, hint.variant, key, "stem", source
            target = key if hint.timelapse_id is None else _stated_timelapse(key, hint.timelapse_id, keys)
            if target is None:
                continue
            for source in hint.sources:
                yield key, path, hint.variant, target, "name", source
                yield key, path, hint.variant, target, "stem", source
            clock = for_timelapse(library.settings, target).clock
            if target not in implied:
                implied[target] = read_implied_dates(library.inventory, target, clock)
            when = capture(hint.when, None, 0, clock, implied[target])
            if when.basis in (Basis.NAME, Basis.DAY_NUMBER):
                yield key, path, hint.variant, target, "instant", str((when.captured_at - _EPOCH) // _MICROSECOND)


def _stated_timelapse(key: str, timelapse_id: str, keys: Sequence[str]) -> str | None:
    """The timelapse whose id a file name states: that of the same camera, else the only one with that id."""
    folder = f"timelapse-{timelapse_id}"
    mine = f"{parse_key(key)[0]}/{folder}"
    stated = [mine] if mine in keys else [other for other in keys if parse_key(other)[1] == folder]
    return stated[0] if len(stated) == 1 else None


def _of_right_size(library: Library, matched: pl.DataFrame, files: pl.DataFrame, sources: pl.DataFrame) -> pl.DataFrame:
    """Those whose picture has exactly the dimensions and format that the recipe makes of its source."""
    sizes = sources.select("source_name", to_timelapse="timelapse", w="width_px", h="height_px")
    joined = matched.join(sizes, on=SOURCE).join(files.drop("variant"), on=FILE_KEY)
    is_right = []
    for row in joined.iter_rows(named=True):
        spec = library.settings.specs[row["variant"]]
        is_asked_for = spec in for_timelapse(library.settings, row["to_timelapse"]).specs
        right = row["w"] is not None and variant_size((row["w"], row["h"]), spec) == (row["width_px"], row["height_px"])
        is_right.append(is_asked_for and right and row["format"] == spec.format)
    return joined.filter(pl.Series(is_right, dtype=pl.Boolean)).select(matched.columns)


def _moves(files: pl.DataFrame, pairs: pl.DataFrame, sources: pl.DataFrame, places: pl.DataFrame) -> pl.DataFrame:
    state = {"source_n_bytes": "n_bytes", "source_mtime_ns": "mtime_ns"}
    stats = sources.select("source_name", to_timelapse="timelapse", **{new: pl.col(old) for new, old in state.items()})
    targets = places.select("source_name", "variant", "to_path", to_timelapse="timelapse")
    facts = (
        files.with_columns(paired_as="variant").unique([*FILE_KEY, "variant"]).drop("source_n_bytes", "source_mtime_ns")
    )
    is_trusted = pl.col("paired_as") == ""
    named = pairs.join(facts.drop("variant"), on=FILE_KEY).filter(
        is_trusted | (pl.col("paired_as") == pl.col("variant"))
    )
    return (
        named.join(stats, on=SOURCE)
        .join(targets, on=[*SOURCE, "variant"])
        .with_columns(is_trusted=is_trusted, source_digest="digest")
        .select(pl.col(name).cast(kind) for name, kind in MOVES.items())
        .sort("to_timelapse", "to_path")
    )


def _can_move(library: Library, move: dict[str, str]) -> bool:
    here = library.variant_file(move["timelapse"], move["variant_path"])
    there = library.variant_file(move["to_timelapse"], move["to_path"])
    return moving.is_free(there) and moving.is_movable(here, there)
