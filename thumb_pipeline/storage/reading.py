"""Opens files for reading that somebody may have replaced by a link, a pipe or a file without end.

Listing folders is in `folders`, writing in `publishing`.
"""

import errno
import os
import stat


class NoRegularFile(OSError):
    """The path is a link, a pipe, a folder or something else without bytes of its own."""


def open_regular(path: bytes | str, *, folder: int | None = None) -> int:
    """Opens a regular file for reading and returns its descriptor. Links are not followed, pipes are not waited for.

    Args:
        path: the path of the file; its name if `folder` is given.
        folder: descriptor of the folder it lies in.

    Raises:
        NoRegularFile: it is not a regular file.
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
    """The bytes of a file; files of ours are small, so a larger one is refused.

    Raises:
        NoRegularFile: it is not a regular file.
        OSError: it is not there, cannot be read, or is larger than `most_n_bytes`.
    """
    with os.fdopen(open_regular(path), "rb", buffering=0) as file:
        data = bytearray()
        while len(data) <= most_n_bytes and (piece := file.read(most_n_bytes + 1 - len(data))):
            data += piece
    if len(data) > most_n_bytes:
        raise OSError(errno.EFBIG, f"it has more than {most_n_bytes} bytes", path)
    return bytes(data)
