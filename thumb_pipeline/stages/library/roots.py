"""Makes sure that the folders outside of a library that it writes into are its own: a marker in each names its library.

These are `storage.state` and `storage.variants`, if the settings name another place than the usual one. Such a folder
must be empty at first; it is marked when the library first writes there. This module decides what a marker means for a
library; reading and writing the other files in the folders lives elsewhere.
"""

import os
import shlex
import uuid
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator, TypeAdapter

from thumb_pipeline.domain.layout import CAMERAS_FOLDER, SETTINGS_NAME, TRASH_FOLDER
from thumb_pipeline.domain.names import to_bytes, to_text
from thumb_pipeline.domain.paths import inside
from thumb_pipeline.stages.library import clock
from thumb_pipeline.storage import publishing
from thumb_pipeline.storage.reading import read_small

MARKER_NAME = ".thumb_pipeline-owner.json"
ID_NAME = ".thumb_pipeline-id"
"""The file in the library's own folder that holds its id, which tells it from another library at the same path."""

STATE_NAMES = frozenset(
    {
        *("datasets", "plans", "leases", "trash", "watch", "dagster"),
        *("up.log", "library-id", f"last-valid-{SETTINGS_NAME}", "contact-sheet.jpg", "demo", clock.NAME),
    }
)
VARIANTS_NAMES = frozenset({CAMERAS_FOLDER, TRASH_FOLDER})
"""The entries that we make in such a folder; nothing else in it is ever touched."""

_WRITER = "owner"

_LEFT_BY_SYSTEMS = frozenset(
    {
        *("lost+found", "@eaDir", "#recycle", "#snapshot", ".snapshot", ".zfs", ".Trashes", ".fseventsd"),
        *(".DS_Store", ".Spotlight-V100", "System Volume Information", "$RECYCLE.BIN", "desktop.ini", "Thumbs.db"),
    }
)
"""The entries that file systems, NAS and desktops put into a folder that is otherwise empty."""


class ForeignFolder(Exception):
    """A folder is not this library's; the message says whose it is and what to do."""


class Standing(Enum):
    """What a folder is to a library."""

    FREE = "free"  # not there, or empty
    OURS = "ours"
    MOVED = "moved"  # ours, and the library was elsewhere when it was marked
    UNMARKED = "unmarked"  # not empty, and without a marker
    COPIED = "copied"  # it belongs to the library of which this one is a copy
    ANOTHERS = "anothers"


def _checked_id(text: str) -> str:
    return str(uuid.UUID(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The library that owns a folder; the content of a marker.

    Attributes:
        library_id: the library's id.
        root: its folder when the marker was written, as text (`domain.names.to_text`).
    """

    library_id: Annotated[str, AfterValidator(_checked_id)]
    root: str


_OWNERS = TypeAdapter(Owner)


def standing(folder: str, root: str) -> Standing:
    """What a folder is to the library in `root`; nothing is changed."""
    owner = read_owner(folder)
    if owner is None:
        return Standing.UNMARKED if entries(folder) else Standing.FREE
    is_here, mine = owner.root == _text(root), _read_id(root)
    if owner.library_id == (mine or _id_by_path(root)) or (is_here and mine is None):
        if is_here:
            return Standing.OURS
        return Standing.COPIED if is_there(owner) else Standing.MOVED
    return Standing.ANOTHERS


def refuse_foreign(setting: str, folder: str, root: str) -> None:
    """Makes sure that a folder is the library's, or may become the library's.

    Args:
        setting: the setting that names the folder.
        folder: its absolute path.
        root: the library's folder.

    Raises:
        ForeignFolder: it is not, and may not.
    """
    found = standing(folder, root)
    if found is Standing.UNMARKED:
        raise ForeignFolder(
            f"{setting} = {folder!r} is not empty, and nothing in it says that it is this library's ({MARKER_NAME} is "
            "absent): name an empty folder. If an earlier version made it for this library: "
            f"thumb-pipeline adopt --library {shlex.quote(root)}"
        )
    owner = read_owner(folder)
    if found is Standing.COPIED and owner is not None:
        raise ForeignFolder(
            f"{setting} = {folder!r} belongs to the library in {owner.root}, and {root} is a copy of that: name "
            f"another folder for the copy, and delete {inside(root, ID_NAME)}"
        )
    if found is Standing.ANOTHERS and owner is not None:
        remedy = f". If that library is gone for good: thumb-pipeline adopt --library {shlex.quote(root)}"
        raise ForeignFolder(
            f"{setting} = {folder!r} belongs to another library, in {owner.root}: name another folder"
            f"{'' if is_there(owner) else remedy}"
        )


def claim(folder: str, root: str) -> None:
    """Marks a folder as the library's, if it is not marked yet or the library has moved since.

    Raises:
        ForeignFolder: another library has marked it meanwhile.
        OSError: the folder cannot be written.
        CannotWrite: likewise.
    """
    _claim(folder, root, _stat_marker(inside(folder, MARKER_NAME)))


@lru_cache(maxsize=64)
def _claim(folder: str, root: str, _marker: tuple[int, int] | None) -> None:
    """The same, cached for each state of the marker: it is called before every merge."""
    found = standing(folder, root)
    if found is Standing.FREE:
        os.makedirs(folder, exist_ok=True)
        publishing.publish_new(_path(folder, MARKER_NAME), _OWNERS.dump_json(_make_owner(root)), writer=_WRITER)
        found = standing(folder, root)
    if found is Standing.MOVED:
        mark(folder, root)
    elif found is not Standing.OURS:
        raise ForeignFolder(f"{folder} has just become another library's; repeat to see whose")


def mark(folder: str, root: str) -> None:
    """Marks a folder as the library's, whatever its marker said before; raises as `claim` if it cannot be written."""
    data = _OWNERS.dump_json(_make_owner(root))
    publishing.publish(_path(folder, MARKER_NAME), data, writer=_WRITER, durable=True)


def read_owner(folder: str) -> Owner | None:
    """The owner in a folder's marker; None if there is no marker, or it cannot be read."""
    try:
        return _OWNERS.validate_json(read_small(inside(folder, MARKER_NAME)))
    except (OSError, ValueError):
        return None


def is_there(owner: Owner) -> bool:
    """Whether the library that a marker names still exists at the marker's path."""
    try:
        root = os.fsdecode(to_bytes(owner.root))
        is_library = os.path.isfile(inside(root, SETTINGS_NAME))
    except ValueError:
        return False
    return is_library and (_read_id(root) or _id_by_path(root)) == owner.library_id


def entries(folder: str) -> list[str]:
    """The entries of a folder, without unfinished files and those of the system; empty if the folder does not exist.

    Raises:
        ForeignFolder: it cannot be read.
    """
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ForeignFolder(f"{folder} cannot be read ({error.strerror}); let this user read it") from error
    unfinished = {name for name in names if publishing.writer_of(os.fsencode(name)) is not None}
    return sorted(set(names) - _LEFT_BY_SYSTEMS - unfinished)


def _stat_marker(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _make_owner(root: str) -> Owner:
    """Makes the content of a marker. The library's id is made at first need, if the library's folder can be written."""
    if _read_id(root) is None:
        try:
            publishing.publish_new(_path(root, ID_NAME), f"{uuid.uuid4()}\n".encode(), writer=_WRITER)
        except (OSError, publishing.CannotWrite):
            return Owner(library_id=_id_by_path(root), root=_text(root))  # a read-only archive
    return Owner(library_id=_read_id(root) or _id_by_path(root), root=_text(root))


def _read_id(root: str) -> str | None:
    try:
        return _checked_id(read_small(inside(root, ID_NAME)).decode("ascii").strip())
    except (OSError, ValueError):
        return None


def _path(folder: str, name: str) -> bytes:
    return os.fsencode(inside(folder, name))


def _id_by_path(root: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, _text(root)))


def _text(root: str) -> str:
    return to_text(os.fsencode(root))
