"""Lists what sweeps and purges moved away, and empties it: the only place where variants are deleted for good.

Bringing them back is `restore`.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from thumb_pipeline.domain.layout import CAMERAS_FOLDER, TRASH_FOLDER
from thumb_pipeline.stages import journal
from thumb_pipeline.stages.library import Library, Refused
from thumb_pipeline.stages.removing import tidy
from thumb_pipeline.stages.selection import refuse_unknown
from thumb_pipeline.storage.removing import remove_tree, usage

UNKNOWN = "unknown"
"""The operation of an entry whose journal is lost; it can be moved back by hand, as its tree is that of the library."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What one sweep or purge left.

    Attributes:
        run_id: its id.
        operation: sweep, purge or unknown.
        removed_at: when it began.
        expires_at: from when the next sweep or purge empties it; None where the journal is lost.
        n_files: in the trash now.
        n_bytes: of those.
        is_finished: whether it came to its end; one that was killed can be restored like any other.
        can_restore: whether its files went to the trash at all.
    """

    run_id: str
    operation: str
    removed_at: datetime
    expires_at: datetime | None
    n_files: int
    n_bytes: int
    is_finished: bool
    can_restore: bool


def entries(library: Library) -> list[Entry]:
    """Everything in the trash, oldest first.

    Raises:
        Refused: the trash cannot be read.
    """
    known = journal.run_ids(library)
    try:
        found = [_entry(library, run_id) for run_id in known]
        found += [_without_journal(library, name) for name in _folders(library) if name not in known]
    except OSError as error:
        raise Refused(f"{library.trash} cannot be read ({error}); check that disk and its permissions") from error
    return sorted(found, key=lambda entry: (entry.removed_at, entry.run_id))


def empty(library: Library, run_ids: Sequence[str]) -> list[Entry]:
    """Deletes entries for good; all of them where none is named. The caller works `journal.alone`.

    Returns:
        What went.

    Raises:
        Refused: one is unknown, or something in it cannot be removed.
    """
    present = {entry.run_id: entry for entry in entries(library)}
    for run_id in run_ids:
        refuse_unknown("run in the trash", run_id, list(present))
    if not is_disk_there(library):
        raise Refused(
            f"{library.variants_root} is not there or empty; check that the disk of storage.variants is mounted"
        )
    return [_emptied(library, present[run_id]) for run_id in dict.fromkeys(run_ids or present)]


def is_disk_there(library: Library) -> bool:
    """Whether the disk that holds the trash is mounted, as far as can be told."""
    if library.variants_root == library.root:
        return True
    return os.path.isdir(library.trash) or os.path.isdir(os.path.join(library.variants_root, CAMERAS_FOLDER))


def empty_expired(library: Library, now: datetime | None = None) -> list[Entry]:
    """Deletes the entries that are older than `trash.keep_days`; those without a journal stay until they are named.

    Raises:
        Refused: something cannot be removed.
    """
    if not is_disk_there(library):
        return []  # without their journals, files that come back with the disk could not be restored
    at = now or datetime.now(UTC)
    expired = [entry for entry in entries(library) if entry.expires_at is not None and entry.expires_at <= at]
    return [_emptied(library, entry) for entry in expired]


def _emptied(library: Library, entry: Entry) -> Entry:
    try:
        remove_tree(os.path.join(library.trash, entry.run_id))
        tidy(library)
        journal.discard(library, entry.run_id)
    except OSError as error:
        raise Refused(
            f"{library.trash}/{entry.run_id} cannot be emptied ({error}); let this user write there, then repeat"
        ) from error
    return entry


def _entry(library: Library, run_id: str) -> Entry:
    written = journal.read(library, run_id)
    n_files, n_bytes = usage(os.path.join(library.trash, run_id))
    return Entry(
        run_id=run_id,
        operation=written.operation.value,
        removed_at=written.began_at,
        expires_at=written.began_at + timedelta(days=library.settings.trash.keep_days),
        n_files=n_files,
        n_bytes=n_bytes,
        is_finished=journal.is_finished(library, run_id),
        can_restore=written.trash is not None,
    )


def _without_journal(library: Library, name: str) -> Entry:
    path = os.path.join(library.trash, name)
    n_files, n_bytes = usage(path)
    return Entry(
        run_id=name,
        operation=UNKNOWN,
        removed_at=datetime.fromtimestamp(os.lstat(path).st_mtime, UTC),
        expires_at=None,
        n_files=n_files,
        n_bytes=n_bytes,
        is_finished=True,
        can_restore=False,
    )


def _folders(library: Library) -> list[str]:
    if os.path.islink(library.trash):
        raise Refused(f"{library.trash} is a link; remove it: {TRASH_FOLDER} must lie on the disk of the variants")
    try:
        return sorted(entry.name for entry in os.scandir(library.trash) if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []
