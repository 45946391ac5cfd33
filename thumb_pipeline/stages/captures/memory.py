"""What a watcher keeps on disk: which folders hold nothing new, the list it hands to a run, and its lock.

All of it may be lost at any time: folders are then listed once and compared with the records. `watch` looks at folders.
"""

import contextlib
import json
import os
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field

from pydantic import TypeAdapter

from thumb_pipeline.domain.documents import FileName, TimelapseKey
from thumb_pipeline.domain.identifiers import is_change_list_id
from thumb_pipeline.domain.paths import inside
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline.storage import leases, publishing
from thumb_pipeline.storage.reading import read_small
from thumb_pipeline.storage.removing import discard

_VERSION = 1
_SUFFIX = ".changes.json"
_MOST_NAMES = 20_000
"""The most names in a list for a run; the run finds the rest itself, by listing those folders once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedSource:
    """A source that failed, as it was then; its writer may only have paused."""

    name: FileName
    n_bytes: int
    mtime_ns: int
    refused_at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """The mtime under which every source in a folder is recorded, but for those that were still being written.

    Attributes:
        mtime_ns: the folder's.
        pending: sources that were still being written.
        refused: recorded ones that failed lately.
    """

    mtime_ns: int
    pending: tuple[str, ...] = ()
    refused: tuple[RefusedSource, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderChanges:
    """What a listing of one folder found to be new or changed, the newest last; `is_final` as in `Turn`."""

    mtime_ns: int
    is_final: bool
    names: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """What `folders.json` holds: by timelapse the fields of a `Mark`."""

    version: int
    folders: dict[TimelapseKey, tuple[int, tuple[FileName, ...], tuple[RefusedSource, ...]]]


_MARKS = TypeAdapter(_Written)
_LISTS = TypeAdapter(dict[TimelapseKey, tuple[int, bool, list[FileName]]])


def watching(library: Library, *, wait_s: float = 0.0) -> AbstractContextManager[None]:
    """Holds the lock of the library's only watcher; the kernel releases it when the process ends.

    Raises:
        ArchiveUnavailable: the library is gone since it was opened; its folders would be made anew.
        LockTimeout: another process still held the lock after `wait_s`.
        Refused: the state folder cannot be written.
    """
    library.refuse_if_gone()
    library.claim_state()
    try:
        os.makedirs(library.watch, exist_ok=True)
    except OSError as error:
        raise Refused(
            f"{library.state} cannot be written ({error.strerror}); let this user write there, "
            "or name another folder as storage.state in thumbs.toml"
        ) from error
    return leases.lock(inside(library.watch, ".lock"), timeout_s=wait_s)


def read_marks(library: Library) -> dict[str, Mark]:
    """The remembered folders, by timelapse; none where the memory is lost or of another version."""
    try:
        written = _MARKS.validate_json(read_small(_marks_path(library)))
        if written.version != _VERSION:
            return {}
        return {
            key: Mark(mtime_ns=mtime_ns, pending=pending, refused=refused)
            for key, (mtime_ns, pending, refused) in written.folders.items()
        }
    except (OSError, ValueError):
        return {}  # whatever is wrong with it, listing everything once is the remedy


def write_marks(library: Library, marks: dict[str, Mark]) -> None:
    """Replaces the remembered folders. Not synced: after a power cut, older marks only cost listings."""
    folders = {
        key: (mark.mtime_ns, mark.pending, [asdict(source) for source in mark.refused]) for key, mark in marks.items()
    }
    _publish(_marks_path(library), {"version": _VERSION, "folders": folders})


def place_list(library: Library, list_id: str, changes: dict[str, FolderChanges]) -> int:
    """Writes the list that a run begins with, in place of all earlier lists; returns how many names are in it."""
    path = _list_path(library, list_id)
    for other in open_lists(library):
        discard_list(library, other)
    chosen, n_names = {}, 0
    for key, found in sorted(changes.items(), key=lambda item: len(item[1].names)):
        if n_names + len(found.names) <= _MOST_NAMES:
            chosen[key] = (found.mtime_ns, found.is_final, found.names)
            n_names += len(found.names)
    _publish(path, chosen)
    return n_names


def read_list(library: Library, list_id: str) -> dict[str, FolderChanges]:
    """What a list says; nothing where it is gone: the run then looks at all folders itself."""
    try:
        written = _LISTS.validate_json(read_small(_list_path(library, list_id)))
        return {
            key: FolderChanges(mtime_ns=mtime_ns, is_final=is_final, names=found)
            for key, (mtime_ns, is_final, found) in written.items()
        }
    except (OSError, ValueError):
        return {}


def open_lists(library: Library) -> list[str]:
    """Ids of the lists that no run has carried out."""
    try:
        ids = [name.removesuffix(_SUFFIX) for name in os.listdir(library.watch) if name.endswith(_SUFFIX)]
        return [list_id for list_id in ids if is_change_list_id(list_id)]
    except FileNotFoundError:
        return []


def list_placed_at_s(library: Library) -> float | None:
    """When the newest open list was placed, in seconds since 1970; None where none is open."""
    placed = []
    for list_id in open_lists(library):
        with contextlib.suppress(FileNotFoundError):
            placed.append(os.stat(_list_path(library, list_id)).st_mtime)
    return max(placed, default=None)


def discard_list(library: Library, list_id: str) -> None:
    """Removes a list that was carried out; a text that is no id of a list is ignored."""
    with contextlib.suppress(ValueError):
        discard(_list_path(library, list_id))


def _publish(path: str, document: object) -> None:
    publishing.publish(os.fsencode(path), json.dumps(document).encode(), writer="watch")


def _list_path(library: Library, list_id: str) -> str:
    if not is_change_list_id(list_id):
        raise ValueError(f"{list_id[:80]!r} is not the id of a list of changes")
    return inside(library.watch, list_id + _SUFFIX)


def _marks_path(library: Library) -> str:
    return inside(library.watch, "folders.json")
