"""Moves files to the places where they belong, and records them.

`match_orphans` decides which files these are. The record is written before the move: if the process is killed between
the two, the variant is still missing and the file is still an orphan, as before, and the next repair moves it. In the
other order, a file without provenance would be made again.
"""

from collections.abc import Callable
from typing import Any

import polars as pl

from thumb_pipeline.analytics.expected import folder_of
from thumb_pipeline.datasets.manifest_rows import LEARNED, adopted_rows
from thumb_pipeline.datasets.rows import by_timelapse
from thumb_pipeline.datasets.schemas import FILE_KEY, MANIFEST, VARIANT_KEY
from thumb_pipeline.domain.plans import RecordState
from thumb_pipeline.stages.inventory.listing import variant_folder
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.storage import moving, stopping
from thumb_pipeline.storage.publishing import settle_on_disk

_Move = dict[str, Any]
_Ask = Callable[[Library, _Move], bool]

_MOVES_A_RECORD = 5_000


def relocate(library: Library, moves: pl.DataFrame) -> pl.DataFrame:
    """Carries out moves (`match_orphans.MOVES` columns); returns those that were made.

    Files that have changed since the listing stay where they are.

    Raises:
        Refused: a variant folder is a link.
        CannotWrite: the disk does not accept changes.
        Stopped: a stop was requested; repeating goes on from there.
    """
    made = [moves.head(0)]
    records = manifest_rows(library, moves)  # once for all groups: it reads the whole manifest
    for first in range(0, moves.height, _MOVES_A_RECORD):
        stopping.look()
        group = moves.slice(first, _MOVES_A_RECORD)
        _refuse_links(library, group)
        is_ready = _ask_for_each(library, group, _is_ready)
        ready, rows = group.filter(is_ready), records.slice(first, _MOVES_A_RECORD).filter(is_ready)
        _merge(library, rows)
        moved = _ask_for_each(library, ready, _move)
        undone = rows.filter(~moved).select(*VARIANT_KEY)
        for key, removed in by_timelapse(undone).items():
            library.manifest.merge(key, MANIFEST.empty(), removed=removed)
        made.append(ready.filter(moved))
        settle_on_disk([_target(library, move) for move in made[-1].iter_rows(named=True)])
    return pl.concat(made)


def manifest_rows(library: Library, moves: pl.DataFrame) -> pl.DataFrame:
    """The records of moved files, in the order of the moves."""
    specs = library.settings.specs
    fingerprints = pl.col("variant").replace_strict(
        {name: spec.fingerprint for name, spec in specs.items()}, return_dtype=pl.String
    )
    rows = adopted_rows(
        moves,
        is_trusted=pl.col("is_trusted"),
        timelapse=pl.col("to_timelapse"),
        variant_path=pl.col("to_path"),
        spec_fingerprint=fingerprints,
    )
    return add_what_was_known(library, rows, moves["timelapse"].unique().to_list())


def add_what_was_known(library: Library, rows: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Adds to manifest rows what earlier records of the same files (equal checksums) hold about how they were made."""
    wanted = rows.lazy().select("checksum").unique()
    known = library.manifest.query(
        keys,
        lambda recorded: (
            recorded.filter(pl.col("state") == RecordState.MADE)
            .select("checksum", *LEARNED)
            .join(wanted, on="checksum", how="semi")
        ),
    ).unique("checksum", keep="any")
    columns = list(MANIFEST.columns)
    return rows.drop(LEARNED).join(known, on="checksum", how="left", maintain_order="left").select(columns)


def _merge(library: Library, rows: pl.DataFrame) -> None:
    for key, mine in by_timelapse(rows).items():
        library.manifest.merge(key, mine)


def _ask_for_each(library: Library, moves: pl.DataFrame, ask: _Ask) -> pl.Series:
    return pl.Series([ask(library, move) for move in moves.iter_rows(named=True)], dtype=pl.Boolean)


def _refuse_links(library: Library, moves: pl.DataFrame) -> None:
    """Refuses moves from or to a folder that is a link or holds sources; `moving` checks that none is swapped later."""
    here = moves.select(*FILE_KEY)
    there = moves.select(timelapse="to_timelapse", variant_path="to_path")
    for key, name in pl.concat([here, there]).select("timelapse", folder_of()).unique().iter_rows():
        variant_folder(library, key, name)


def _is_ready(library: Library, move: _Move) -> bool:
    """Whether the file is as listed and its place is empty."""
    source = library.variant_file(move["timelapse"], move["variant_path"])
    return moving.is_unchanged(source, move["n_bytes"], move["mtime_ns"]) and moving.is_free(_target(library, move))


def _move(library: Library, move: _Move) -> bool:
    source = library.variant_file(move["timelapse"], move["variant_path"])
    return moving.move(source, _target(library, move), library.frames_guard)


def _target(library: Library, move: _Move) -> bytes:
    return library.variant_file(move["to_timelapse"], move["to_path"])
