"""Cleans up after processes that were killed: their unfinished files, then their leases.

A killed process leaves its lease file, unlocked, which lists the folders it was writing to. `defs.runs.lost_runs`
corrects the state of such runs in Dagster.
"""

import contextlib
import os
from collections.abc import Sequence

from thumb_pipeline.domain.identifiers import is_lease_id
from thumb_pipeline.domain.layout import CAMERAS_FOLDER
from thumb_pipeline.domain.paths import inside
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.storage import leases, publishing
from thumb_pipeline.storage.folders import ArchiveUnavailable, unavailable
from thumb_pipeline.storage.leases import LeaseState
from thumb_pipeline.storage.removing import WrongFolder, open_folder, remove_file

Place = tuple[str, str]
"""A timelapse's key, and the name of a folder in it."""

LEASE_TAG = "thumb_pipeline/lease"
"""The tag in which a Dagster run names the lease of its process (`lease_tag`)."""

die_with_parent = leases.die_with_parent
"""Ends a process together with the command that started it."""


def lease_tag(lease: leases.Lease, run_id: str) -> str:
    """The value of a run's lease tag; includes the run's id, because Dagster copies tags to the run that retries it."""
    return f"{lease.id}@{run_id}"


def tagged_lease(tag: str, run_id: str) -> str | None:
    """The id of the lease in a run's tag; None if the tag is another run's or names no lease."""
    lease_id, _, owner = tag.partition("@")
    return lease_id if owner == run_id and is_lease_id(lease_id) else None


def announce(library: Library, lease: leases.Lease, folders: Sequence[Place]) -> None:
    """Writes into our lease which folders we are about to write to; call it before the first file is written."""
    lines = [f"{key}/{folder}" for key, folder in folders]
    leases.note(library.lease_folder, lease.id, "\n".join(lines))


def find_dead_leases(library: Library) -> list[str]:
    """Ids of the leases whose processes were killed."""
    return sorted(leases.find_abandoned(library.lease_folder))


def is_abandoned(library: Library, lease_id: str) -> bool:
    """Whether no living process holds this lease."""
    return leases.is_free(library.lease_folder, lease_id)


def holder(library: Library, lease_id: str) -> int | None:
    """The id of the process that holds a lease; None if it is free."""
    return leases.holder(library.lease_folder, lease_id)


def clean_up(library: Library) -> int:
    """Removes the unfinished files of killed processes from the folders they had announced; returns how many.

    A folder that cannot be read is skipped, so that the others are cleaned. The leases stay until `forget` is called:
    in between, the caller corrects what else depends on them.
    """
    n_removed = 0
    for lines in leases.find_abandoned(library.lease_folder).values():
        for path in _announced_folders(library, lines):
            with contextlib.suppress(ArchiveUnavailable):
                n_removed += clean_folder(library, path, _list_temporaries(path))
    return n_removed


def discard_own(library: Library, lease: leases.Lease, folders: Sequence[Place]) -> None:
    """Removes the unfinished files that our own workers left in some folders when they were stopped."""
    for key, folder in folders:
        path = inside(library.variants(key), folder)
        with contextlib.suppress(ArchiveUnavailable, OSError):  # perhaps that disk is why we stop
            _remove(path, [name for name in _list_temporaries(path) if publishing.writer_of(name) == lease.id])


def clean_folder(library: Library, folder: str, temporaries: list[bytes]) -> int:
    """Removes the unfinished files of one folder whose writers were killed, whatever their age."""
    free = find_abandoned_files(library, temporaries)
    return _remove(folder, free) if free else 0


def find_abandoned_files(library: Library, temporaries: list[bytes]) -> list[bytes]:
    """The unfinished files whose writers are known to this library and were killed."""
    return [name for name in temporaries if _read_lease_state(library, name) is LeaseState.ABANDONED]


def find_foreign_files(library: Library, temporaries: list[bytes]) -> list[bytes]:
    """The files that look like our unfinished files, but whose writer this library does not know.

    Another writer, perhaps on another machine, may be about to finish them.
    """
    return [name for name in temporaries if _read_lease_state(library, name) is LeaseState.UNKNOWN]


def _read_lease_state(library: Library, temporary: bytes) -> LeaseState:
    writer = publishing.writer_of(temporary)
    return LeaseState.UNKNOWN if writer is None else leases.lease_state(library.lease_folder, writer)


def _remove(folder: str, temporaries: list[bytes]) -> int:
    """Removes unfinished files of a folder; returns how many were removed."""
    n_removed = 0
    try:
        with open_folder(os.path.realpath(folder)) as descriptor:
            for name in temporaries:
                with contextlib.suppress(OSError):
                    n_removed += remove_file(name, folder=descriptor)
    except WrongFolder:
        return 0
    return n_removed


def forget(library: Library, lease_ids: list[str]) -> None:
    """Removes the leases of killed processes, after everything that depends on them was corrected.

    A lease stays for the next clean-up while a folder that it names cannot be read: unfinished files may be there.
    """
    announced = leases.find_abandoned(library.lease_folder)
    for lease_id in lease_ids:
        if all(_is_readable(folder) for folder in _announced_folders(library, announced.get(lease_id, []))):
            leases.forget(library.lease_folder, lease_id)


def _announced_folders(library: Library, lines: Sequence[str]) -> list[str]:
    """The folders that the lines of a lease name, each once; a line that names no folder of this library is skipped.

    A lease names folders relative to the library: in a copy of the library it means the copy's folders. Earlier
    versions wrote whole paths; such a path counts if it is in this library.
    """
    folders = []
    for line in dict.fromkeys(lines):  # a run that follows cameras announces the same ones repeatedly
        own = line.removeprefix(f"{library.variants_root}/{CAMERAS_FOLDER}/")
        key, _, folder = own.rpartition("/")
        with contextlib.suppress(ValueError):
            folders.append(inside(library.variants(key), folder))
    return folders


def _is_readable(folder: str) -> bool:
    try:
        _list_temporaries(folder)
    except ArchiveUnavailable:
        return False
    return True


def _list_temporaries(folder: str) -> list[bytes]:
    """Unfinished files in a folder; empty if the folder does not exist or is a file."""
    try:
        return [name for name in os.listdir(os.fsencode(folder)) if publishing.is_temporary(name)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise unavailable(folder, error) from error
