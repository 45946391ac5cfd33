"""Makes files appear whole: a hidden temporary file beside the target, then one rename.

Variants are not synced one by one (`settle_on_disk` syncs a batch before its record is written); datasets are. What
the bytes mean is nobody's business here.
"""

import errno
import itertools
import os
from typing import BinaryIO

from thumb_pipeline.domain import names

_serial = itertools.count()

_OF_THE_FOLDER = frozenset({errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ELOOP})
_OF_THE_NAME = frozenset({errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST, errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL})


class CannotWrite(Exception):
    """The disk does not take files; the next one would meet the same. Nothing was changed under the name."""


class FolderClosed(CannotWrite):
    """This one folder does not take files (permissions, or a file stands in its place); others may."""


class NameTaken(Exception):
    """This one name cannot be had: a folder stands there, or the file system does not take it."""


def temporary_name(writer: str) -> str:
    """A fresh name for an unfinished file of the process whose lease is `writer`."""
    return f"{names.TEMPORARY_PREFIX}{writer}-{os.getpid():x}-{next(_serial):x}"


def is_temporary(name: bytes) -> bool:
    """Whether a name is that of an unfinished file of ours."""
    return name.startswith(names.TEMPORARY_PREFIX.encode())


def writer_of(temporary: bytes) -> str:
    """The lease under which a temporary file was written; empty when the name tells none."""
    prefix = names.TEMPORARY_PREFIX.encode()
    return temporary.removeprefix(prefix).partition(b"-")[0].decode("ascii", "replace")


def publish(
    target: bytes, data: bytes, *, writer: str, durable: bool = False, makes_folder: bool = True
) -> os.stat_result:
    """Writes `data` under the name `target` so that a reader sees the old file or the new one, never a part.

    The permissions are what the umask gives. A missing folder is made with `makes_folder`. With `durable`, file and
    folder are synced.

    Returns:
        The state of the published file.

    Raises:
        CannotWrite: with the reason; the temporary file is gone.
        NameTaken: likewise, and other names may well work.
    """
    folder = os.path.dirname(target)
    temporary = os.path.join(folder, os.fsencode(temporary_name(writer)))
    try:
        file = _opened(temporary, folder, makes_folder=makes_folder)
        try:
            with file:
                file.write(data)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
                status = os.fstat(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            _unlink_quietly(temporary)
            raise
        if durable:
            sync_folder(folder)
    except OSError as error:
        shown = names.to_text(target)
        if error.errno in _OF_THE_NAME:
            raise NameTaken(f"{shown} cannot be written: {error.strerror}; move away what stands there") from error
        raise cannot_write(shown, error) from error
    return status


def cannot_write(path: str, error: OSError) -> CannotWrite:
    """What to raise when the disk does not take `path`."""
    kind = FolderClosed if error.errno in _OF_THE_FOLDER else CannotWrite
    return kind(explained(error, path))


def sync_folder(folder: bytes | str) -> None:
    """Makes the names in a folder survive a power cut."""
    _sync(folder)


def settle_on_disk(paths: list[bytes]) -> None:
    """Makes already published files survive a power cut, before a record claims that they exist.

    A few are synced one by one; for many, one sync of everything costs less than a journal commit each.

    Raises:
        CannotWrite: the disk lost what it had taken.
    """
    if len(paths) > 64:
        os.sync()
        return
    for path in [*paths, *{os.path.dirname(path) for path in paths}]:
        try:
            _sync(path)
        except FileNotFoundError:
            continue  # somebody replaced or removed it since; the next listing tells
        except OSError as error:
            raise CannotWrite(explained(error, names.to_text(path))) from error


def remove_temporaries(folder: str, temporaries: list[bytes]) -> int:
    """Removes unfinished files whose writers are gone; returns how many went."""
    root = os.fsencode(folder)
    return sum(_unlink_quietly(os.path.join(root, name)) for name in temporaries)


def _sync(path: bytes | str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _opened(temporary: bytes, folder: bytes, *, makes_folder: bool) -> BinaryIO:
    try:
        return open(temporary, "xb")
    except FileNotFoundError:
        if not makes_folder:
            raise
        os.makedirs(folder, exist_ok=True)
        return open(temporary, "xb")


def _unlink_quietly(path: bytes) -> bool:
    try:
        os.unlink(path)
    except OSError:
        return False
    return True


def explained(error: OSError, target: str) -> str:
    """Why a file could not be written, and what to do about it."""
    return f"cannot write {target}: {error.strerror}; {remedy(error)}, then run the same command again"


def remedy(error: OSError) -> str:
    """What to do where a file cannot be written."""
    return {
        errno.ENOSPC: "free space on that disk",
        errno.EDQUOT: "raise the quota or free space",
        errno.EROFS: "mount that disk writable",
        errno.EACCES: "let this user write there",
        errno.EPERM: "let this user write there",
        errno.ENOTDIR: "move away the file that stands in the place of its folder",
    }.get(error.errno or 0, "check that disk")
