"""Lists what sweeps and purges moved to the trash, and deletes it for good.

An entry is a folder of the trash named after a run. Emptying it deletes the files that its journal lists or, if the
journal is lost, those at places where a removal puts files. Anything else in the trash stays. `restore` brings files
back.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from thumb_pipeline.datasets.schemas import FILE_KEY
from thumb_pipeline.datasets.slices import SliceDamaged
from thumb_pipeline.domain.clocks import Ages, moment
from thumb_pipeline.domain.identifiers import is_run_id
from thumb_pipeline.domain.layout import (
    CAMERAS_FOLDER,
    RESERVED_FOLDERS,
    TRASH_FOLDER,
    is_camera_folder,
    is_timelapse_folder,
    split_variant_path,
)
from thumb_pipeline.domain.names import to_bytes
from thumb_pipeline.domain.paths import inside
from thumb_pipeline.domain.quantities import counted, human_bytes
from thumb_pipeline.stages.inventory.selection import refuse_unknown
from thumb_pipeline.stages.library import clock
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline.stages.removal import journal
from thumb_pipeline.stages.removal.carry_out import tidy
from thumb_pipeline.storage.removing import remove_empty, remove_files, usage

UNKNOWN = "unknown"
"""The operation of an entry whose journal is lost; it can be moved back by hand, as its tree is that of the library."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What one sweep or purge left in the trash.

    Attributes:
        run_id: the id of the removal's run.
        operation: sweep, purge or unknown.
        removed_at: when the removal began.
        expires_at: from when on the entry is emptied as expired; None if the journal is lost. If the clock has jumped
            since, this is later than `trash.keep_days` after `removed_at` (`domain.clocks`).
        n_files: number of files in the trash now.
        n_bytes: bytes of these files.
        is_finished: whether the removal has finished; one that was killed can be restored like any other.
        can_restore: whether the removal used the trash at all.
    """

    run_id: str
    operation: str
    removed_at: datetime
    expires_at: datetime | None
    n_files: int
    n_bytes: int
    is_finished: bool
    can_restore: bool

    def __str__(self) -> str:
        return f"{counted(self.n_files, 'file')} ({human_bytes(self.n_bytes)}) of {self.operation} {self.run_id}"


def list_entries(library: Library) -> list[Entry]:
    """Everything in the trash, oldest first.

    Raises:
        Refused: the trash cannot be read.
    """
    return _read_entries(library, clock.peek(library.state, newest=_read_newest_beginning(library)))


def _read_entries(library: Library, ages: Ages) -> list[Entry]:
    try:
        readable = (_read_entry(library, run_id, ages) for run_id in journal.list_run_ids(library))
        entries = {entry.run_id: entry for entry in readable if entry is not None}
        entries |= {
            name: _read_entry_without_journal(library, name)
            for name in _list_run_folders(library)
            if name not in entries
        }
    except OSError as error:
        raise Refused(f"{library.trash} cannot be read ({error}); check that disk and its permissions") from error
    return sorted(entries.values(), key=lambda entry: (entry.removed_at, entry.run_id))


def empty(library: Library, run_ids: Sequence[str]) -> list[Entry]:
    """Deletes entries for good; all of them if none is named. The caller holds `journal.lock_removals`.

    Returns:
        The entries that were deleted.

    Raises:
        Refused: one is unknown, or something in it cannot be removed.
    """
    present = {entry.run_id: entry for entry in list_entries(library)}
    for run_id in run_ids:
        refuse_unknown("run in the trash", run_id, list(present))
    if not is_disk_there(library):
        raise Refused(
            f"{library.variants_root} is not there or empty; check that the disk of storage.variants is mounted"
        )
    return [_empty_entry(library, present[run_id]) for run_id in dict.fromkeys(run_ids or present)]


def is_disk_there(library: Library) -> bool:
    """Whether the disk that holds the trash seems to be mounted."""
    if library.variants_root == library.root:
        return True
    return os.path.isdir(library.trash) or os.path.isdir(inside(library.variants_root, CAMERAS_FOLDER))


def empty_expired(library: Library, now: datetime | None = None) -> list[Entry]:
    """Deletes the entries that are older than `trash.keep_days`; those without a journal stay until they are named.

    Ages count only from the moment since which the clock has been steady; `reason_not_to_expire` says when this holds
    entries back.

    Returns:
        The entries that were deleted.

    Raises:
        Refused: something cannot be removed.
    """
    if not is_disk_there(library):
        return []  # if journals went now, the files could not be restored when the disk comes back
    ages = clock.look(library.state, newest=_read_newest_beginning(library)).at(now)
    expired = [e for e in _read_entries(library, ages) if e.expires_at is not None and e.expires_at <= ages.now]
    return [_empty_entry(library, entry) for entry in expired]


def announce_expired(emptied: Sequence[Entry]) -> list[str]:
    """One sentence for each entry that was deleted because it had expired: nothing is deleted for good silently."""
    return [f"the trash was emptied of {entry}, which had expired" for entry in emptied]


def reason_not_to_expire(library: Library, now: datetime | None = None) -> str | None:
    """Why entries stay although their stamps are older than `trash.keep_days`, and what to do; None if none does."""
    ages = clock.peek(library.state, newest=_read_newest_beginning(library)).at(now)
    keep = _retention(library)
    held = [
        run_id
        for run_id, began_at in _read_beginnings(library).items()
        if ages.now - began_at >= keep and not ages.is_past(began_at, keep)
    ]
    if not held:
        return None
    which = f" {held[0]}" if len(held) == 1 else ""
    return (
        f"the trash was not emptied of {counted(len(held), 'run')} that would have expired: {ages.trouble}; if the "
        f"clock is right, nothing needs to be done: they expire at {ages.steady_since + keep:%Y-%m-%d %H:%M} UTC; to "
        f"empty the trash now: thumb-pipeline trash --empty{which}"
    )


def _retention(library: Library) -> timedelta:
    return timedelta(days=library.settings.trash.keep_days)


def _read_beginnings(library: Library) -> dict[str, datetime]:
    """When each removal began, from its journal; journals that cannot be read are left out."""
    began_at = {}
    for run_id in journal.list_run_ids(library):
        with suppress(SliceDamaged):
            began_at[run_id] = journal.read(library, run_id).began_at
    return began_at


def _read_newest_beginning(library: Library) -> datetime | None:
    return max(_read_beginnings(library).values(), default=None)


def _empty_entry(library: Library, entry: Entry) -> Entry:
    top = library.trash_folder(entry.run_id)
    try:
        for folder, is_ours in _list_removable(library, entry):
            remove_files(folder, is_ours)
        remove_empty(top)
        tidy(library)
        journal.discard(library, entry.run_id)
    except SliceDamaged as damaged:
        raise Refused(f"{damaged}; until then {top} is not emptied") from damaged
    except OSError as error:
        raise Refused(f"{top} cannot be emptied ({error}); let this user write there, then repeat") from error
    return entry


def _list_removable(library: Library, entry: Entry) -> Iterator[tuple[str, Callable[[str], bool]]]:
    """The folders of an entry, each with a test that says which files in it the removal put there."""
    listed = None if entry.operation == UNKNOWN else _read_listed_names(library, entry.run_id)
    for folder in _find_variant_folders(library.trash_folder(entry.run_id)):
        if listed is None:
            yield folder, lambda _: True
        elif folder in listed:
            yield folder, listed[folder].__contains__


def _read_listed_names(library: Library, run_id: str) -> dict[str, set[str]]:
    """The names of the files that a journal lists, as they are on the disk, by folder of the trash.

    Raises:
        SliceDamaged: the list cannot be read.
    """
    names: dict[str, set[str]] = {}
    for key, path in journal.read_files(library, run_id).select(*FILE_KEY).iter_rows():
        folder, name = split_variant_path(path)
        names.setdefault(library.in_trash(run_id, key, folder), set()).add(os.fsdecode(to_bytes(name)))
    return names


def _find_variant_folders(top: str) -> Iterator[str]:
    """The variant folders of a run in the trash: those at places where a removal makes them."""
    cameras = inside(top, CAMERAS_FOLDER)
    for camera in filter(is_camera_folder, _list_subfolders(cameras)):
        for timelapse in filter(is_timelapse_folder, _list_subfolders(inside(cameras, camera))):
            folder = inside(cameras, camera, timelapse)
            yield from (
                inside(folder, name) for name in _list_subfolders(folder) if name.casefold() not in RESERVED_FOLDERS
            )


def _read_entry(library: Library, run_id: str, ages: Ages) -> Entry | None:
    """The entry of a journal; None if the journal cannot be read, which counts as lost."""
    try:
        written = journal.read(library, run_id)
    except SliceDamaged:
        return None
    n_files, n_bytes = usage(library.trash_folder(run_id))
    return Entry(
        run_id=run_id,
        operation=written.operation.value,
        removed_at=written.began_at,
        expires_at=ages.counted_from(written.began_at) + _retention(library),
        n_files=n_files,
        n_bytes=n_bytes,
        is_finished=journal.is_finished(library, run_id),
        can_restore=written.uses_trash,
    )


def _read_entry_without_journal(library: Library, name: str) -> Entry:
    path = library.trash_folder(name)
    n_files, n_bytes = usage(path)
    return Entry(
        run_id=name,
        operation=UNKNOWN,
        removed_at=moment(os.lstat(path).st_mtime),
        expires_at=None,
        n_files=n_files,
        n_bytes=n_bytes,
        is_finished=True,
        can_restore=False,
    )


def _list_run_folders(library: Library) -> list[str]:
    """The runs that have a folder in the trash."""
    if os.path.islink(library.trash):
        raise Refused(f"{library.trash} is a link; remove it: {TRASH_FOLDER} must lie on the disk of the variants")
    return sorted(filter(is_run_id, _list_subfolders(library.trash)))


def _list_subfolders(path: str) -> list[str]:
    """Names of the folders in a folder, without links; none if the folder does not exist."""
    try:
        with os.scandir(path) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
