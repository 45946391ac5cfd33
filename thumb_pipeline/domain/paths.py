"""The one place where a path is joined: of a folder and the names of entries in it, each of which is only a name.

What a name may be (a key, an id, a file name) is checked where it comes in; here nothing leads out of its folder,
whatever comes in. That no link stands on the way is proved by descriptor, in `storage`.
"""

import os
from typing import AnyStr


class OutOfPlace(ValueError):
    """A text is not the name of one entry in a folder: it would lead somewhere else."""


def inside(folder: AnyStr, *names: AnyStr) -> AnyStr:
    """The path of an entry in a folder, or in folders of it.

    Args:
        folder: absolute, or relative to where the result is.
        names: one a level, as the disk has them.

    Raises:
        OutOfPlace: one of them is empty, `.`, `..`, or has a slash or a NUL in it.
    """
    for name in names:
        if not is_entry_name(name):
            raise OutOfPlace(f"{name[:80]!r} is not the name of an entry in a folder")
    return os.path.join(folder, *names)


def under(folder: str, path: str) -> str:
    """What a path means that starts at a folder unless it is absolute: one that a person wrote, who may go anywhere."""
    return os.path.join(folder, path)


def is_entry_name(name: str | bytes) -> bool:
    """Whether a text, or what the disk has for one, names one entry in a folder."""
    if isinstance(name, bytes):
        return name not in (b"", b".", b"..") and b"/" not in name and b"\0" not in name
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name
