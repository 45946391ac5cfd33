"""Writes a journal of each removal before anything is moved; it is read to carry out, undo or list the removal.

A journal is a folder `<state>/trash/RUN_ID/`. It holds `files.parquet` and `records.parquet`, then `operation.json`,
without which it does not count as a journal. `result.json` is written when the removal has finished. Files that were
moved lie in the trash, in the same tree as before.
"""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Annotated, Any

import polars as pl
from pydantic import AwareDatetime, BeforeValidator, TypeAdapter

from thumb_pipeline.datasets import sealed
from thumb_pipeline.datasets.schemas import FILE_KEY, MANIFEST
from thumb_pipeline.datasets.slices import SliceDamaged
from thumb_pipeline.domain.documents import TimelapseKey, checked_key, checked_variant_path
from thumb_pipeline.domain.identifiers import is_run_id
from thumb_pipeline.domain.paths import inside
from thumb_pipeline.domain.removals import Operation
from thumb_pipeline.stages.library.library import Lease, Library, publish_durably
from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline.stages.planning.orphans import ORPHANS
from thumb_pipeline.stages.removal.planned import Removal, RemovalWish
from thumb_pipeline.storage import removing
from thumb_pipeline.storage.leases import LockTimeout
from thumb_pipeline.storage.publishing import CannotWrite, remedy, sync_folder, writer_of
from thumb_pipeline.storage.reading import read_small

_OPERATION, _RESULT, _FILES, _RECORDS = "operation.json", "result.json", "files.parquet", "records.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """The content of `operation.json`.

    Attributes:
        run_id: the name of the removal, of its folder in the trash, and of its run in Dagster.
        operation: sweep or purge.
        wish: the arguments.
        forced: whether the operator asked to overrule the brakes.
        overruled: the brakes' objections.
        started_at: when it was written.
        lease: the id of the lease of the process that wrote it.
        uses_trash: whether the files are moved to the trash; else they are unlinked.
        keys: the timelapses.
        n_files: number of files planned.
        n_bytes: bytes of these files.
        n_sources: sources listed while planning, by timelapse.
        n_listed: files in the variant folders, by timelapse.
    """

    run_id: str
    operation: Operation
    wish: RemovalWish
    forced: bool
    overruled: list[str]
    started_at: AwareDatetime
    lease: str
    uses_trash: bool
    keys: list[TimelapseKey]
    n_files: int
    n_bytes: int
    n_sources: dict[str, int] = field(default_factory=dict)
    n_listed: dict[str, int] = field(default_factory=dict)

    @property
    def began_at(self) -> datetime:
        """When the journal was written."""
        return self.started_at


def _of_any_version(written: Any) -> Any:
    """The fields of a journal; earlier versions stored the path of the folder in the trash instead of `uses_trash`."""
    return {"uses_trash": written.get("trash") is not None, **written} if isinstance(written, dict) else written


@dataclass(frozen=True, slots=True, kw_only=True)
class _Result:
    """The only part of `result.json` that is read again."""

    kept_by_reason: dict[str, int]


_RESULTS = TypeAdapter(_Result)
_JOURNALS = TypeAdapter(Annotated[Journal, BeforeValidator(_of_any_version)])


@contextmanager
def lock_removals(library: Library) -> Iterator[None]:
    """Holds the lock that allows one sweep, purge, restore or repair of a library at a time.

    Rendering does not wait for it.

    Raises:
        LockTimeout: another one is at work.
        Refused: the state folder cannot be written.
    """
    with ExitStack() as held:
        library.claim_state()
        try:
            os.makedirs(library.journals, exist_ok=True)
            held.enter_context(library.locked(inside(library.journals, ".lock")))
        except LockTimeout:
            raise LockTimeout(
                f"another sweep, purge, restore or repair is at work on {library.root}; repeat when it has ended"
            ) from None
        except OSError as error:
            raise Refused(f"{library.journals} cannot be written ({error.strerror}); {remedy(error)}") from error
        _discard_incomplete(library)
        yield


def _discard_incomplete(library: Library) -> None:
    """Removes journals that a killed process left half written or half discarded.

    Nothing had been moved yet, or nothing is left to undo.
    """
    for name in filter(is_run_id, os.listdir(library.journals)):
        if not is_placed(library, name):
            removing.remove_files(library.journal_folder(name), _is_ours)


def place(library: Library, removal: Removal, run_id: str, lease: Lease) -> Journal:
    """Writes the journal of a planned removal so that it survives a power cut; the caller holds `lock_removals`.

    Raises:
        Refused: the journal cannot be written; nothing was moved.
    """
    journal = Journal(
        run_id=run_id,
        operation=removal.operation,
        wish=removal.wish,
        forced=removal.is_forced,
        overruled=removal.objections,
        started_at=datetime.now(UTC),
        lease=lease.id,
        uses_trash=removal.wish.use_trash,
        keys=removal.keys,
        n_files=removal.files.height,
        n_bytes=removal.n_bytes,
        n_sources=removal.n_sources,
        n_listed=removal.n_listed,
    )
    try:
        _publish(library, run_id, _FILES, sealed.written(removal.files, _sealed_name(run_id, _FILES)))
        _publish(library, run_id, _RECORDS, sealed.written(removal.records, _sealed_name(run_id, _RECORDS)))
        _publish(library, run_id, _OPERATION, _JOURNALS.dump_json(journal, indent=2))
        sync_folder(library.journals)
    except (CannotWrite, OSError) as error:
        discard(library, run_id)
        raise Refused(f"{error}; nothing was moved") from error
    return journal


def is_placed(library: Library, run_id: str) -> bool:
    """Whether there is a journal under this id."""
    return os.path.exists(_path(library, run_id, _OPERATION))


def read(library: Library, run_id: str) -> Journal:
    """Reads a journal.

    Raises:
        SliceDamaged: it cannot be read.
    """
    path = _path(library, run_id, _OPERATION)
    try:
        return replace(_JOURNALS.validate_json(read_small(path)), run_id=run_id)
    except (OSError, ValueError) as error:
        raise SliceDamaged(
            f"{path} cannot be read ({error}); what it removed lies in {library.trash}/{run_id} and can be moved back "
            "by hand, or emptied"
        ) from error


def read_files(library: Library, run_id: str) -> pl.DataFrame:
    """The files that a removal planned to take (`ORPHANS` columns)."""
    return _read_rows(library, run_id, _FILES, ORPHANS)


def read_records(library: Library, run_id: str) -> pl.DataFrame:
    """The manifest rows that a removal planned to drop along with its files."""
    return _read_rows(library, run_id, _RECORDS, MANIFEST.columns)


def finish(library: Library, run_id: str, result: dict[str, Any]) -> None:
    """Notes that a removal has finished, with its result.

    Raises:
        CannotWrite: the result cannot be written.
    """
    _publish(library, run_id, _RESULT, json.dumps(result, indent=2).encode())


def is_finished(library: Library, run_id: str) -> bool:
    """Whether a removal has finished."""
    return os.path.exists(_path(library, run_id, _RESULT))


def read_kept_by_reason(library: Library, run_id: str) -> dict[str, int]:
    """How many files a finished removal left where they were, by reason; empty for one that did not finish."""
    try:
        return _RESULTS.validate_json(read_small(_path(library, run_id, _RESULT))).kept_by_reason
    except (OSError, ValueError):
        return {}  # these numbers only make a count more exact


def list_run_ids(library: Library) -> list[str]:
    """The ids of all journals."""
    try:
        return sorted(name for name in filter(is_run_id, os.listdir(library.journals)) if is_placed(library, name))
    except FileNotFoundError:
        return []


def discard(library: Library, run_id: str) -> None:
    """Removes a journal, but only files of ours; `operation.json` goes first, without which it is no journal."""
    for name in (_OPERATION, _RESULT):
        removing.discard(_path(library, run_id, name))
    removing.remove_files(library.journal_folder(run_id), _is_ours)


def _is_ours(name: str) -> bool:
    return name in (_OPERATION, _RESULT, _FILES, _RECORDS) or writer_of(os.fsencode(name)) is not None


def _publish(library: Library, run_id: str, name: str, data: bytes) -> None:
    publish_durably(os.fsencode(_path(library, run_id, name)), data)


def _read_rows(library: Library, run_id: str, name: str, columns: sealed.Columns) -> pl.DataFrame:
    path = _path(library, run_id, name)
    try:
        rows = sealed.read(path, columns, _sealed_name(run_id, name))
        for key, variant_path in rows.select(*FILE_KEY).unique().iter_rows():
            checked_key(key)
            checked_variant_path(variant_path)
    except (SliceDamaged, OSError, ValueError, AttributeError) as error:
        raise SliceDamaged(f"{path}: {error}; restore it, or move the files back by hand") from error
    return rows


def _sealed_name(run_id: str, name: str) -> str:
    return f"{name} of removal {run_id}"


def _path(library: Library, run_id: str, name: str) -> str:
    return inside(library.journal_folder(run_id), name)
