"""Keeps this process from making folders anew that existed when it began.

Code that writes a file often makes its missing folder first, and those above it; Dagster does so for its records all
the time. If a library was renamed, or its disk unmounted, that would leave a second, empty library in the old place.
"""

import errno
import os
import sys
from collections.abc import Iterable
from typing import Any

_NO_DESCRIPTOR = -1  # of a folder that a path is relative to

_standing: set[str] = set()


def never_make_anew(folders: Iterable[str]) -> None:
    """Makes every attempt of this process to make one of these folders, or one above it, fail with FileNotFoundError.

    This cannot be undone. Folders that are absent now are skipped, as nothing can have relied on them.

    Args:
        folders: absolute paths.
    """
    if not _standing:
        sys.addaudithook(_refuse_to_make)
    _standing.update(os.path.realpath(folder) for folder in folders if os.path.isdir(folder))


def _refuse_to_make(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook, which the interpreter calls before any code makes a folder."""
    if event != "os.mkdir" or arguments[2] != _NO_DESCRIPTOR:
        return
    made = os.path.realpath(os.fsdecode(arguments[0]))
    is_above = any(os.path.commonpath((made, folder)) == made for folder in _standing)
    if is_above and not os.path.lexists(made):
        raise FileNotFoundError(errno.ENOENT, "it was there, is gone, and is not made anew", made)
