"""Brings back what a sweep or a purge moved to the trash, with its records; a file in the way is never replaced.

If the process is killed at any point, the restore can be repeated: every file is either back in its place or still in
the trash.
"""

import os
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from thumb_pipeline.analytics.expected import folder_of
from thumb_pipeline.datasets.rows import by_timelapse
from thumb_pipeline.datasets.schemas import FILE_KEY
from thumb_pipeline.domain import names
from thumb_pipeline.domain.layout import split_variant_path
from thumb_pipeline.domain.paths import inside
from thumb_pipeline.domain.plans import RecordState
from thumb_pipeline.domain.quantities import counted
from thumb_pipeline.domain.removals import KeptReason
from thumb_pipeline.stages.inventory.listing import look_at_variants
from thumb_pipeline.stages.inventory.selection import refuse_unknown
from thumb_pipeline.stages.library.errors import REFUSALS
from thumb_pipeline.stages.library.library import Lease, Library
from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline.stages.removal import journal
from thumb_pipeline.stages.removal.carry_out import tidy
from thumb_pipeline.stages.verification.verdicts import renew_verdicts
from thumb_pipeline.storage.removing import (
    WrongFolder,
    make_folder,
    own_folder,
    place_of,
    put_back,
    remove_empty,
    settle_folder,
    trash_folder,
)


@dataclass(slots=True, kw_only=True)
class Restored:
    """The result of a restore.

    Attributes:
        run_id: the id of the removal that was undone.
        n_restored: number of files that are back.
        n_bytes: bytes of these files.
        kept: number of files that did not come back, by reason.
        is_verified: whether the kept verdicts match what is there now.
    """

    run_id: str
    n_restored: int = 0
    n_bytes: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    is_verified: bool = True

    def document(self) -> dict[str, Any]:
        """The JSON that a command prints."""
        return {
            "run_id": self.run_id,
            "restored": self.n_restored,
            "kept": self.kept.total(),
            "n_bytes": self.n_bytes,
        }


def in_trash(library: Library, run_id: str) -> pl.DataFrame:
    """Finds the files of a removal that are in the trash now (`ORPHANS` columns): what a restore would bring back.

    Raises:
        Refused: there is no such removal, it deleted its files for good, or its trash is not there.
        SliceDamaged: its journal cannot be read.
    """
    refuse_unknown("run in the trash", run_id, journal.list_run_ids(library))
    written = journal.read(library, run_id)
    if not written.uses_trash:
        raise Refused(
            f"run {run_id} was made with --no-trash: its files were deleted, and generate can make them again"
        )
    rows = journal.read_files(library, run_id)
    top = library.trash_folder(run_id)
    waiting = _find_existing(rows, lambda key, path: library.file_in_trash(run_id, key, path))
    if not os.path.isdir(top) and (n_lost := rows.height - _find_existing(rows, library.variant_file).height):
        raise Refused(
            f"{top} is not there, and {counted(n_lost, 'file')} of it {'is' if n_lost == 1 else 'are'} not back: check "
            f"that its disk is mounted; if they are really gone, forget them: thumb-pipeline trash --empty {run_id}"
        )
    return waiting


def _find_existing(rows: pl.DataFrame, file_of: Callable[[str, str], bytes]) -> pl.DataFrame:
    """Those rows whose file exists; `file_of` makes its path from timelapse key and variant path."""
    is_there = [os.path.lexists(file_of(key, path)) for key, path in rows.select(FILE_KEY).iter_rows()]
    return rows.filter(pl.Series(is_there, dtype=pl.Boolean))


def _count_lost(library: Library, run_id: str, waiting: pl.DataFrame, result: Restored) -> None:
    """Counts the files that went to the trash and are neither there nor back: they were taken out by other means."""
    elsewhere = journal.read_files(library, run_id).join(waiting, on=FILE_KEY, how="anti")
    n_absent = elsewhere.height - _find_existing(elsewhere, library.variant_file).height
    n_never_taken = journal.read_kept_by_reason(library, run_id).get(KeptReason.GONE.value, 0)
    if n_absent > n_never_taken:
        result.kept[KeptReason.GONE.value] += n_absent - n_never_taken


def restore(library: Library, run_id: str, lease: Lease) -> Restored:
    """Undoes a removal; the caller holds `journal.lock_removals`.

    Raises:
        Refused: there is no such removal, it deleted its files for good, or its trash is not there.
        SliceDamaged: its journal cannot be read.
        CannotWrite: the disk of the records is full; repeating goes on.
    """
    waiting, result = in_trash(library, run_id), Restored(run_id=run_id)
    records = journal.read_records(library, run_id)
    _count_lost(library, run_id, waiting, result)
    for (key, name), rows in (
        waiting.with_columns(folder_of()).partition_by("timelapse", "folder", as_dict=True).items()
    ):
        _restore_folder(library, run_id, str(key), str(name), rows.to_dicts(), result)
    for key, rows in by_timelapse(records).items():
        _restore_records(library, key, rows)
    touched = sorted({*journal.read_files(library, run_id)["timelapse"], *records["timelapse"]})
    result.is_verified = renew_verdicts(library, touched, lease)
    remove_empty(library.trash_folder(run_id))
    if not os.path.lexists(library.trash_folder(run_id)):
        tidy(library)
        journal.discard(library, run_id)
    return result


def _restore_folder(
    library: Library, run_id: str, key: str, folder: str, rows: list[dict[str, Any]], result: Restored
) -> None:
    source = library.in_trash(run_id, key, folder)
    target = inside(library.variants(key), folder)
    try:
        with ExitStack() as stack:
            there = stack.enter_context(trash_folder(source))
            _make_folder(library, target)
            here = stack.enter_context(own_folder(target, library.frames_guard))
            for row in rows:
                reason = put_back(names.to_bytes(split_variant_path(row["variant_path"])[1]), trash=there, folder=here)
                if reason is None:
                    result.n_restored += 1
                    result.n_bytes += row["n_bytes"]
                else:
                    result.kept[reason.value] += 1
            settle_folder(here, target)
    except WrongFolder as wrong:
        result.kept[wrong.reason.value] += len(rows)


def _make_folder(library: Library, path: str) -> None:
    """Makes a variant folder that was removed meanwhile, unless its path leads through a link.

    Raises:
        WrongFolder: the path leads through a link, the folder would be on another file system than the trash, or it
            cannot be made.
    """
    above = path
    while not os.path.lexists(above):
        above = os.path.dirname(above)
    try:
        is_ours = os.path.realpath(above) == above and place_of(above) == place_of(library.trash)
    except OSError as error:
        raise WrongFolder(path, KeptReason.NOT_MOVABLE) from error
    if not is_ours:
        raise WrongFolder(path, KeptReason.OUTSIDE)
    make_folder(path)


def _restore_records(library: Library, key: str, records: pl.DataFrame) -> None:
    """Brings back the records of files that are there as recorded, except where a newer record exists."""
    try:
        standing = look_at_variants(library, records.select(FILE_KEY)).files
        back = records.filter(pl.col("state") == RecordState.MADE).join(
            standing, on=[*FILE_KEY, "n_bytes", "mtime_ns"], how="semi"
        )
        if not back.is_empty():
            library.manifest.merge(key, back, resolve=_without_newer_record)
    except REFUSALS:
        return  # the files are back; files without a record are adopted later


def _without_newer_record(current: pl.DataFrame, incoming: pl.DataFrame) -> pl.DataFrame:
    return incoming.join(current, on=["source_name", "variant"], how="anti")
