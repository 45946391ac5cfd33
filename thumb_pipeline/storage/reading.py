"""Opens files for reading in whose place somebody may have put something else: a link, a pipe, a file without end.

Listing folders is in `folders`, writing in `publishing`.
"""

import errno
import os
import stat


class NoRegularFile(OSError):
    """A link, a pipe, a folder or something else without bytes of its own stands there."""


def open_regular(path: bytes | str, *, folder: int | None = None) -> int:
    """A descriptor to read a regular file by. Links are not followed, and pipes not waited for.

    Args:
        path: of the file; a name, where `folder` is given.
        folder: descriptor of the folder it lies in.

    Raises:
        NoRegularFile: something else stands there.
        OSError: it is not there, or cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link; a socket
            raise NoRegularFile(error.errno, "it is no regular file", path) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NoRegularFile(errno.EINVAL, "it is no regular file", path)
    return descriptor


def read_small(path: bytes | str, most_n_bytes: int = 256 * 1024 * 1024) -> bytes:
    """The bytes of a file that is small if it is ours.

    Raises:
        NoRegularFile: something else stands there.
        OSError: it is not there, cannot be read, or is larger than that.
    """
    with os.fdopen(open_regular(path), "rb", buffering=0) as file:
        data = bytearray()
        while len(data) <= most_n_bytes and (piece := file.read(most_n_bytes + 1 - len(data))):
            data += piece
    if len(data) > most_n_bytes:
        raise OSError(errno.EFBIG, f"it has more than {most_n_bytes} bytes", path)
    return bytes(data)
