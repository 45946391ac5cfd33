"""The one place where paths are joined: a folder and the names of entries below it.

The form of a name (a key, an id, a file name) is checked where it comes in. Here each name must be that of a single
entry, so that no path leads out of its folder. That no link is on the way is proved by descriptor, in `storage`.
"""

import os
from typing import AnyStr


class OutOfPlace(ValueError):
    """A text is not the name of one entry in a folder: it would lead somewhere else."""


def inside(folder: AnyStr, *names: AnyStr) -> AnyStr:
    """The path of an entry in a folder, or in its subfolders.

    Args:
        folder: absolute, or relative to where the result is.
        names: one for each level, as they are on the disk.

    Raises:
        OutOfPlace: a name is empty, `.` or `..`, or contains a slash or a NUL.
    """
    for name in names:
        if not is_entry_name(name):
            raise OutOfPlace(f"{name[:80]!r} is not the name of an entry in a folder")
    return os.path.join(folder, *names)


def under(folder: str, path: str) -> str:
    """A path that a person wrote, relative to a folder unless it is absolute; it may lead anywhere."""
    return os.path.join(folder, path)


def is_entry_name(name: str | bytes) -> bool:
    """Whether a text, or a name's bytes on the disk, names a single entry in a folder."""
    if isinstance(name, bytes):
        return name not in (b"", b".", b"..") and b"/" not in name and b"\0" not in name
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name
