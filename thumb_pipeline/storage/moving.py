"""Moves a file to another name on the same file system, never over anything, never through a linked folder.

Making new files is in `publishing`. Which file belongs where is nobody's business here.
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
    """Whether nothing at all has this name, no dangling link either."""
    return not os.path.lexists(path)


def is_unchanged(path: bytes, n_bytes: int, mtime: int) -> bool:
    """Whether a regular file of this size and mtime (nanoseconds) stands there, and no link to one."""
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and (status.st_size, mtime_ns(status)) == (n_bytes, mtime)


def is_movable(source: bytes, target: bytes) -> bool:
    """Whether a file can get to `target` by a rename: both on one file system. A missing folder will be made."""
    try:
        return os.lstat(source).st_dev == os.stat(_nearest(os.path.dirname(target))).st_dev
    except OSError:
        return False


def move(source: bytes, target: bytes, guard: FramesGuard) -> bool:
    """Gives a file another name; folders of the target are made where there are none.

    One rename where the file system can refuse to replace; elsewhere a second name, then the first is taken away: a
    kill in between leaves both.

    Args:
        source: its path.
        target: its path to be.
        guard: knows the folders of sources: nothing is moved out of one or into one.

    Returns:
        Whether it was moved: not if the target is taken, the source gone, a folder a link, or a disk between them.

    Raises:
        CannotWrite: the disk does not take changes; the next file would meet the same.
    """
    try:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with _opened(os.path.dirname(source)) as here, _opened(os.path.dirname(target)) as there:
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
        OSError: it is not there, or something stands in the way.
    """
    os.rename(source, target)


def _rename(here: int, source: bytes, there: int, target: bytes) -> None:
    try:
        _rename_or_refuse(here, source, there, target)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        os.link(source, target, src_dir_fd=here, dst_dir_fd=there, follow_symlinks=False)
        os.fsync(there)  # the only name must not be the one that a power cut takes
        os.unlink(source, dir_fd=here)


def _rename_or_refuse(here: int, source: bytes, there: int, target: bytes) -> None:
    if sys.platform != "linux":
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    library = ctypes.CDLL(None, use_errno=True)
    if library.renameat2(here, source, there, target, _NOREPLACE) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


@contextmanager
def _opened(folder: bytes) -> Iterator[int]:
    """A folder held open: what happens to its name meanwhile leads nowhere else."""
    with ExitStack() as held:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        held.callback(os.close, descriptor)
        yield descriptor


def _nearest(folder: bytes) -> bytes:
    """The folder, or the first one above it that exists."""
    while not os.path.lexists(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    return folder
