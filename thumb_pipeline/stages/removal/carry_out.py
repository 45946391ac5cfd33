"""Carries out a removal from its journal: looks at every file again, moves those still as planned, drops their records.

If the process is killed at any point, every file is either where it was or in the trash, and the journal lists all of
them. Repeating the operation goes on from there; `restore` undoes what was moved.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from thumb_pipeline.analytics.expected import folder_of
from thumb_pipeline.datasets.rows import by_timelapse
from thumb_pipeline.datasets.schemas import FILE_KEY
from thumb_pipeline.domain import names
from thumb_pipeline.domain.findings import OrphanKind
from thumb_pipeline.domain.layout import split_variant_path
from thumb_pipeline.domain.paths import inside
from thumb_pipeline.domain.removals import KeptReason, Operation
from thumb_pipeline.stages.inventory.listing import look_at_variants
from thumb_pipeline.stages.inventory.survey import accept
from thumb_pipeline.stages.library.errors import REFUSALS
from thumb_pipeline.stages.library.library import Lease, Library
from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline.stages.removal import journal
from thumb_pipeline.stages.removal.journal import Journal
from thumb_pipeline.stages.removal.planned import Removal
from thumb_pipeline.stages.removal.sweep import Look, accept_untouched, is_source_there, look_again
from thumb_pipeline.stages.verification.verdicts import renew_verdicts
from thumb_pipeline.storage.removing import (
    WrongFolder,
    own_folder,
    place_of,
    remove_empty,
    remove_folder_if_empty,
    settle_folder,
    take,
    trash_folder,
)

KEPT = {"timelapse": pl.String, "variant_path": pl.String, "n_bytes": pl.Int64, "reason": pl.String}
"""The columns of a table of files that stayed."""

_Row = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Removed:
    """The result of a removal.

    Attributes:
        run_id: the id of its run.
        n_removed: number of files that were removed.
        n_bytes: bytes of these files.
        trash: the folder that they are in; None if nothing was removed, or without a trash.
        files: the plan (`stages.planning.orphans.ORPHANS` columns).
        kept: the files that stayed, with the reason (`KEPT` columns as rows).
        n_forgotten: number of records taken out, as no file is left for them.
        is_verified: whether the kept verdicts match what is there now.
        trash_emptied: what had expired and was deleted for good, one sentence each.
        trash_kept: why something that would have expired was not deleted, and what to do; None if there is no such
            thing.
    """

    run_id: str
    files: pl.DataFrame
    n_removed: int = 0
    n_bytes: int = 0
    trash: str | None = None
    kept: list[_Row] = field(default_factory=list)
    n_forgotten: int = 0
    is_verified: bool = True
    trash_emptied: list[str] = field(default_factory=list)
    trash_kept: str | None = None

    @property
    def n_planned(self) -> int:
        """Number of files planned."""
        return self.files.height

    def document(self) -> dict[str, Any]:
        """What a command prints of it as JSON."""
        return {
            "run_id": self.run_id,
            "planned": self.n_planned,
            "removed": self.n_removed,
            "kept": len(self.kept),
            "n_bytes": self.n_bytes,
            "trash": self.trash,
        }

    def kept_by_reason(self) -> dict[str, int]:
        """How many files stayed for which reason."""
        return dict(Counter(row["reason"] for row in self.kept))


def refuse_other_file_systems(library: Library, removal: Removal) -> None:
    """Stops before anything moves if files could not be renamed into the trash.

    Raises:
        Refused: naming the folders, and `--no-trash`.
    """
    if not removal.wish.use_trash or removal.files.is_empty():
        return
    if os.path.islink(library.trash):
        raise Refused(f"{library.trash} is a link; remove it, as removed files must stay on their own disk")
    folder = folder_of()
    try:
        here = place_of(library.trash if os.path.isdir(library.trash) else library.variants_root)
    except OSError as error:
        raise Refused(f"{library.variants_root} cannot be read ({error.strerror}); check that disk") from error
    strange = [
        path
        for key, name in removal.files.select("timelapse", folder).unique().sort("timelapse", "folder").iter_rows()
        if _is_elsewhere(path := inside(library.variants(key), name), here)
    ]
    if strange:
        raise Refused(
            f"{strange[0]}{f' and {len(strange) - 1} more folders' if len(strange) > 1 else ''} lie on another file "
            f"system than {library.trash}, so files cannot be moved there; name the others with --timelapse, or "
            "repeat with --no-trash: then they are deleted for good"
        )


def carry_out(library: Library, run_id: str, lease: Lease) -> Removed:
    """Carries out the removal whose journal has the id `run_id`; the caller holds `journal.lock_removals`.

    Raises:
        CannotWrite: the disk of the state is full; what was moved is in the trash, and the journal lists it.
    """
    written, planned = journal.read(library, run_id), journal.read_files(library, run_id)
    records = journal.read_records(library, run_id)
    result = Removed(run_id=run_id, files=planned)
    files_by_key = by_timelapse(planned)
    records_by_key = by_timelapse(records)
    touched = sorted({*files_by_key, *records_by_key})
    for key in touched:
        rows, key_records = files_by_key.get(key, planned.head(0)), records_by_key.get(key, records.head(0))
        _carry_out_timelapse(library, written, key, rows, key_records, result)
    _conclude(library, written, touched, result, lease)
    return result


def _carry_out_timelapse(
    library: Library, written: Journal, key: str, rows: pl.DataFrame, records: pl.DataFrame, result: Removed
) -> None:
    seen: Look | None = None
    try:
        library.refuse_if_gone()
        if written.operation is Operation.SWEEP:
            seen = look_again(library, key, written.n_sources.get(key, 0))
    except REFUSALS:
        result.kept += _kept_rows(rows, KeptReason.UNAVAILABLE)
        return
    if seen is not None:
        still = rows.join(seen.orphans.files, on="variant_path", how="semi")
        result.kept += _kept_rows(rows.join(still, on="variant_path", how="anti"), _explain_no_orphan(library, key))
        records = records.join(seen.unexpected, on=["source_name", "variant"], how="semi")
        rows = still
    check = _source_check(library, key) if seen is not None else None
    for folder, files in _by_folder(rows):
        _move_folder(library, written, key, folder, files, check, result)
    result.n_forgotten += _forget(library, key, records)
    if seen is not None:
        accept(library, seen.survey)


def _explain_no_orphan(library: Library, key: str) -> Callable[[_Row], KeptReason]:
    """A function that says why a planned file is no longer an orphan: it is gone, or something expects it."""

    def reason(row: _Row) -> KeptReason:
        is_there = os.path.lexists(library.variant_file(key, row["variant_path"]))
        return KeptReason.EXPECTED if is_there else KeptReason.GONE

    return reason


def _source_check(library: Library, key: str) -> Callable[[_Row], bool]:
    def is_back(row: _Row) -> bool:
        if row["kind"] != OrphanKind.SOURCE_GONE.value or not row["source_name"]:
            return False
        return is_source_there(library, key, names.to_bytes(row["source_name"]))

    return is_back


def _by_folder(rows: pl.DataFrame) -> Iterator[tuple[str, list[_Row]]]:
    by_folder: dict[str, list[_Row]] = {}
    for row in rows.iter_rows(named=True):
        by_folder.setdefault(split_variant_path(row["variant_path"])[0], []).append(row)
    yield from sorted(by_folder.items())


def _move_folder(
    library: Library,
    written: Journal,
    key: str,
    folder: str,
    files: list[_Row],
    is_back: Callable[[_Row], bool] | None,
    result: Removed,
) -> None:
    """Moves the files of one variant folder, each after a last look, and syncs the folder.

    The records of these files are dropped only after that.
    """
    path = inside(library.variants(key), folder)
    target = library.in_trash(written.run_id, key, folder) if written.uses_trash else None
    try:
        with ExitStack() as stack:
            here = stack.enter_context(own_folder(path, library.frames_guard))
            there = None if target is None else stack.enter_context(trash_folder(target))
            for row in files:
                name = names.to_bytes(split_variant_path(row["variant_path"])[1])
                if is_back is not None and is_back(row):
                    reason: KeptReason | None = KeptReason.EXPECTED
                else:
                    reason = take(name, row["n_bytes"], row["mtime_ns"], folder=here, trash=there)
                _count(row, reason, result)
            settle_folder(here, path)
            if there is not None and target is not None:
                settle_folder(there, target)
    except WrongFolder as wrong:
        result.kept += _kept_rows(pl.DataFrame(files), wrong.reason)


def _count(row: _Row, reason: KeptReason | None, result: Removed) -> None:
    if reason is None:
        result.n_removed += 1
        result.n_bytes += row["n_bytes"]
    else:
        result.kept.append({**{name: row[name] for name in KEPT if name != "reason"}, "reason": reason.value})


def _kept_rows(rows: pl.DataFrame, reason: KeptReason | Callable[[_Row], KeptReason]) -> list[_Row]:
    kept = []
    for row in rows.iter_rows(named=True):
        why = reason(row) if callable(reason) else reason
        kept.append({**{name: row[name] for name in KEPT if name != "reason"}, "reason": why.value})
    return kept


def _forget(library: Library, key: str, records: pl.DataFrame) -> int:
    """Drops the records for which no file is left (the journal keeps a copy); returns how many."""
    try:
        standing = look_at_variants(library, records.select(*FILE_KEY)).files
        void = records.join(standing, on=FILE_KEY, how="anti")
        library.manifest.take_out(key, void)
    except REFUSALS:
        return 0  # a file that cannot be looked at may still exist; the next run looks again
    return void.height


def _conclude(library: Library, written: Journal, touched: list[str], result: Removed, lease: Lease) -> None:
    """Accepts the listings of untouched timelapses, renews verdicts, and finishes the journal.

    A journal of a removal that changed nothing is discarded.
    """
    if written.operation is Operation.SWEEP:
        untouched = sorted(set(written.keys) - set(touched))
        try:
            accept_untouched(library, untouched, written.n_sources)
        except REFUSALS:
            result.is_verified = False
    result.is_verified &= renew_verdicts(library, touched, lease)
    trash = library.trash_folder(written.run_id) if written.uses_trash else None
    if trash is not None:
        remove_empty(trash)
        tidy(library)
    if not result.n_removed and not result.n_forgotten:
        journal.discard(library, result.run_id)
        return
    result.trash = trash
    journal.finish(library, result.run_id, {**result.document(), "kept_by_reason": result.kept_by_reason()})


def tidy(library: Library) -> None:
    """Removes the trash folder if it is empty."""
    remove_folder_if_empty(library.trash)


def _is_elsewhere(path: str, here: tuple[int, str]) -> bool:
    try:
        return place_of(path) != here
    except OSError:
        return False  # if the folder cannot be opened later either, its files are kept, with the reason
