"""Moves a file to another name on the same file system, never over anything, never through a linked folder.

Making new files is in `publishing`. Which file belongs where is decided in `stages.repair`.
"""

import ctypes
import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from thumb_pipeline.domain import names
from thumb_pipeline.storage.folders import mtime_ns
from thumb_pipeline.storage.frames_guard import FramesGuard
from thumb_pipeline.storage.publishing import CannotWrite, explained

_NOREPLACE = 1  # renameat2(2): RENAME_NOREPLACE
_UNSUPPORTED = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTTY, errno.EOPNOTSUPP})
_NOT_THIS_FILE = frozenset(
    {
        *(errno.EEXIST, errno.ENOTEMPTY, errno.ENOENT, errno.EXDEV),
        *(errno.ENOTDIR, errno.ELOOP, errno.EMLINK, errno.ENAMETOOLONG, errno.EILSEQ),
    }
)


def is_free(path: bytes) -> bool:
    """Whether nothing has this name, not even a broken link."""
    return not os.path.lexists(path)


def is_unchanged(path: bytes, n_bytes: int, mtime: int) -> bool:
    """Whether the path is a regular file of this size and mtime (nanoseconds), not a link to one."""
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and (status.st_size, mtime_ns(status)) == (n_bytes, mtime)


def is_movable(source: bytes, target: bytes) -> bool:
    """Whether a rename can move a file to `target`: both are on one file system. A missing folder will be made."""
    try:
        return os.lstat(source).st_dev == os.stat(_find_existing(os.path.dirname(target))).st_dev
    except OSError:
        return False


def move(source: bytes, target: bytes, guard: FramesGuard) -> bool:
    """Gives a file another name; missing folders of the target are made.

    This is one rename if the file system can refuse to replace a file. Otherwise the file gets a second name, then the
    first is removed: a kill in between leaves both.

    Args:
        source: its path.
        target: its new path.
        guard: knows the folders of sources: nothing is moved out of one or into one.

    Returns:
        Whether it was moved: not if the target is taken, the source is gone, a folder is a link, or the two are on
        different disks.

    Raises:
        CannotWrite: the disk does not take changes; the next file would fail as well.
    """
    try:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with _open_folder(os.path.dirname(source)) as here, _open_folder(os.path.dirname(target)) as there:
            guard.admit(here, os.path.dirname(source))
            guard.admit(there, os.path.dirname(target))
            _rename(here, os.path.basename(source), there, os.path.basename(target))
    except OSError as error:
        if error.errno in _NOT_THIS_FILE:
            return False
        raise CannotWrite(explained(error, names.to_text(target))) from error
    return True


def rename_folder(source: str, target: str) -> None:
    """Gives a folder of the state another name, both checked (`domain.paths`).

    Raises:
        OSError: it is not there, or something is in the way.
    """
    os.rename(source, target)


def _rename(here: int, source: bytes, there: int, target: bytes) -> None:
    try:
        _rename_or_refuse(here, source, there, target)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        os.link(source, target, src_dir_fd=here, dst_dir_fd=there, follow_symlinks=False)
        os.fsync(there)  # a power cut must not take the only name
        os.unlink(source, dir_fd=here)


def _rename_or_refuse(here: int, source: bytes, there: int, target: bytes) -> None:
    if sys.platform != "linux":
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    library = ctypes.CDLL(None, use_errno=True)
    if library.renameat2(here, source, there, target, _NOREPLACE) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


@contextmanager
def _open_folder(folder: bytes) -> Iterator[int]:
    """Holds a folder open: a change of its path meanwhile redirects nothing."""
    with ExitStack() as held:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        held.callback(os.close, descriptor)
        yield descriptor


def _find_existing(folder: bytes) -> bytes:
    """The folder, or the nearest one above it that exists."""
    while not os.path.lexists(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    return folder
