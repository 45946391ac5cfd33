"""Cleans up after processes that were killed: their unfinished files, then their leases.

A killed process leaves its lease file, unlocked, with the folders it was writing to. What Dagster still believes of its
runs is corrected where Dagster is allowed (`defs.lost_runs`).
"""

import contextlib
import os

from thumb_pipeline.stages.library import Library
from thumb_pipeline.storage import leases, publishing
from thumb_pipeline.storage.folders import ArchiveUnavailable, unavailable

LEASE_TAG = "thumb_pipeline/lease"
"""The tag by which a Dagster run names the lease of its process (`lease_tag`)."""

die_with_parent = leases.die_with_parent
"""For processes that must not outlive the command that started them."""


def lease_tag(lease: leases.Lease, run_id: str) -> str:
    """What a run's tag says of its lease; with the run's id, as tags are copied to the run that repeats it."""
    return f"{lease.id}@{run_id}"


def tagged_lease(tag: str, run_id: str) -> str | None:
    """The lease that a run's tag names; None where the tag is another run's, or there is none."""
    lease_id, _, owner = tag.partition("@")
    return lease_id if owner == run_id else None


def announce(library: Library, lease: leases.Lease, folders: list[str]) -> None:
    """Notes in our lease, before the first file is written, which folders we are about to write to."""
    leases.note(library.lease_folder, lease.id, "\n".join(folders))


def dead_leases(library: Library) -> list[str]:
    """Ids of the leases whose processes were killed."""
    return sorted(leases.abandoned(library.lease_folder))


def is_abandoned(library: Library, lease_id: str) -> bool:
    """Whether no living process holds this lease."""
    return leases.is_free(library.lease_folder, lease_id)


def holder(library: Library, lease_id: str) -> int | None:
    """The process that holds a lease; None when it is free."""
    return leases.holder(library.lease_folder, lease_id)


def clean_up(library: Library) -> int:
    """Removes what killed processes left unfinished in the folders they had announced; returns the number of files.

    A folder that cannot be read is passed over, as whoever cleans up has work in others. Their leases stay until
    `forget` is called: what else hangs on them is corrected in between.
    """
    n_removed = 0
    for folders in leases.abandoned(library.lease_folder).values():
        for folder in dict.fromkeys(folders):  # a run that follows cameras announces them again and again
            with contextlib.suppress(ArchiveUnavailable):
                n_removed += clean_folder(library, folder, _temporaries(folder))
    return n_removed


def discard_own(lease: leases.Lease, folders: list[str]) -> None:
    """Removes what our own workers left unfinished in some folders when they were stopped."""
    for folder in folders:
        with contextlib.suppress(ArchiveUnavailable):  # what stopped us may be that disk; our successor looks again
            mine = [name for name in _temporaries(folder) if publishing.writer_of(name) == lease.id]
            publishing.remove_temporaries(folder, mine)


def clean_folder(library: Library, folder: str, temporaries: list[bytes]) -> int:
    """Removes those unfinished files of one folder whose writers are gone, whatever their age."""
    free = abandoned_files(library, temporaries)
    return publishing.remove_temporaries(folder, free) if free else 0


def abandoned_files(library: Library, temporaries: list[bytes]) -> list[bytes]:
    """Those of some unfinished files whose writers are gone."""
    return [name for name in temporaries if leases.is_free(library.lease_folder, publishing.writer_of(name))]


def forget(library: Library, lease_ids: list[str]) -> None:
    """Removes the leases of killed processes after everything that hung on them is put right.

    One stays for the next time while a folder that it names cannot be read: what lies there is not known.
    """
    announced = leases.abandoned(library.lease_folder)
    for lease_id in lease_ids:
        if all(_is_readable(folder) for folder in dict.fromkeys(announced.get(lease_id, []))):
            leases.forget(library.lease_folder, lease_id)


def _is_readable(folder: str) -> bool:
    try:
        _temporaries(folder)
    except ArchiveUnavailable:
        return False
    return True


def _temporaries(folder: str) -> list[bytes]:
    """Unfinished files in a folder; where there is none, or a file in its place, there are none."""
    try:
        return [name for name in os.listdir(os.fsencode(folder)) if publishing.is_temporary(name)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise unavailable(folder, error) from error
