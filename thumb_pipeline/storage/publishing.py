"""Makes files appear whole: a hidden temporary file beside the target, then one rename.

Variants are not synced one by one (`settle_on_disk` syncs a batch before its record is written); datasets are. What
the bytes mean does not matter here.
"""

import contextlib
import errno
import itertools
import os
from collections.abc import Callable, Iterator

from thumb_pipeline.domain import names
from thumb_pipeline.domain.paths import inside

_serial = itertools.count()

_OF_THE_FOLDER = frozenset({errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ELOOP})
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
_OF_THE_NAME = frozenset({errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST, errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL})
_LONGEST_PATH = 4095
"""Bytes of a path that Linux opens (PATH_MAX without the zero at its end, limits.h)."""
_MOVE_AWAY = "move away what stands there"


class CannotWrite(Exception):
    """The disk does not take files, and the next file would fail as well. The target is unchanged."""


class FolderClosed(CannotWrite):
    """This one folder does not take files (permissions, or a file stands in its place); others may."""


class NameTaken(Exception):
    """This one name cannot be used: a folder has it, or the file system does not take it."""


Admit = Callable[[int, bytes], None]
"""Called with an opened folder and its path; raises if files must not be written there."""


def temporary_name(writer: str) -> str:
    """A fresh name for an unfinished file.

    Args:
        writer: the id of our lease, or a word for what is written into the state folder.
    """
    return f"{names.TEMPORARY_PREFIX}{writer}-{os.getpid():x}-{next(_serial):x}"


def is_temporary(name: bytes) -> bool:
    """Whether a name looks like that of an unfinished file of ours; `writer_of` says whose it is."""
    return name.startswith(names.TEMPORARY_PREFIX.encode())


def writer_of(temporary: bytes) -> str | None:
    """The writer of a temporary file, as given to `temporary_name`; None for a name that it never gives."""
    return names.temporary_writer(temporary)


def publish(
    target: bytes,
    data: bytes,
    *,
    writer: str,
    durable: bool = False,
    makes_folder: bool = True,
    admit: Admit | None = None,
) -> os.stat_result:
    """Writes `data` under the name `target` so that a reader sees the old file or the new one, never a part.

    The folder is opened once, and everything happens relative to it: a link or a mount that appears meanwhile
    cannot redirect it. The permissions follow the umask.

    Args:
        target: the path.
        data: what the file holds.
        writer: goes into the name of the unfinished file (`temporary_name`).
        durable: whether file and folder are synced.
        makes_folder: whether a missing folder is made.
        admit: checks the opened folder before anything is written; with it, the folder must not be a link.

    Returns:
        The `stat` result of the published file.

    Raises:
        CannotWrite: with the reason; the temporary file is gone.
        NameTaken: likewise, but other names may work.
    """
    path = os.path.dirname(target) or b"."
    try:
        _refuse_too_long(target)
        with _open_folder(path, makes_folder=makes_folder, follows_link=admit is None) as folder:
            if admit is not None:
                admit(folder, path)
            return _publish_in(folder, os.path.basename(target), data, writer, durable=durable)
    except OSError as error:
        shown = names.to_text(target)
        if error.errno in _OF_THE_NAME:
            raise NameTaken(f"{shown} cannot be written: {error.strerror}; {remedy(error)}") from error
        raise cannot_write(shown, error) from error


def publish_new(target: bytes, data: bytes, *, writer: str) -> bool:
    """The same, durably, for a file that must not exist yet; of several processes that try at once, one succeeds.

    Returns:
        Whether this call published the file.

    Raises:
        CannotWrite: the disk does not take it.
    """
    folder = os.path.dirname(target)
    unfinished = inside(folder, os.fsencode(temporary_name(writer)))
    publish(unfinished, data, writer=writer, durable=True)
    try:
        os.link(unfinished, target)
        sync_folder(folder)
    except FileExistsError:
        return False
    except OSError as error:  # without hard links there is no way to do this in one step
        if error.errno not in _NO_LINKS:
            raise cannot_write(names.to_text(target), error) from error
        if os.path.lexists(target):
            return False
        os.replace(unfinished, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(unfinished)
    return True


def _refuse_too_long(target: bytes) -> None:
    """Refuses a path that is too long: relative to its folder the file could be written, but not opened by its path."""
    if len(target) > _LONGEST_PATH:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))


def _publish_in(folder: int, name: bytes, data: bytes, writer: str, *, durable: bool) -> os.stat_result:
    temporary = os.fsencode(temporary_name(writer))
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=folder)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(descriptor)
            status = os.fstat(descriptor)
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise
    if durable:
        os.fsync(folder)
    return status


@contextlib.contextmanager
def _open_folder(folder: bytes, *, makes_folder: bool, follows_link: bool) -> Iterator[int]:
    flags = os.O_RDONLY | os.O_DIRECTORY | (0 if follows_link else os.O_NOFOLLOW)
    try:
        descriptor = os.open(folder, flags)
    except FileNotFoundError:
        if not makes_folder:
            raise
        os.makedirs(folder, exist_ok=True)
        descriptor = os.open(folder, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def cannot_write(path: str, error: OSError) -> CannotWrite:
    """The error to raise when the disk does not take `path`."""
    kind = FolderClosed if error.errno in _OF_THE_FOLDER else CannotWrite
    return kind(explained(error, path))


def sync_folder(folder: bytes | str) -> None:
    """Makes the names in a folder survive a power cut."""
    _sync(folder)


def settle_on_disk(paths: list[bytes]) -> None:
    """Makes already published files survive a power cut, before a record claims that they exist.

    A few are synced one by one; for many, one sync of everything costs less than a journal commit each.

    Raises:
        CannotWrite: the disk lost what it had accepted.
    """
    if len(paths) > 64:
        os.sync()
        return
    for path in [*paths, *{os.path.dirname(path) for path in paths}]:
        try:
            _sync(path)
        except FileNotFoundError:
            continue  # replaced or removed since; the next listing shows it
        except OSError as error:
            raise CannotWrite(explained(error, names.to_text(path))) from error


def _sync(path: bytes | str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def explained(error: OSError, target: str) -> str:
    """Why a file could not be written, and what to do about it."""
    return f"cannot write {target}: {error.strerror}; {remedy(error)}, then run the same command again"


def remedy(error: OSError) -> str:
    """What to do if a file cannot be written."""
    return {
        errno.ENOSPC: "free space on that disk",
        errno.EDQUOT: "raise the quota or free space",
        errno.EROFS: "mount that disk writable",
        errno.EACCES: "let this user write there",
        errno.EPERM: "let this user write there",
        errno.ENOTDIR: "move away the file that stands in the place of its folder",
        errno.EISDIR: _MOVE_AWAY,
        errno.ENOTEMPTY: _MOVE_AWAY,
        errno.EEXIST: _MOVE_AWAY,
        errno.ENAMETOOLONG: (
            f"shorten the path, which may have {_LONGEST_PATH:,} bytes, or the name, which may have 255"
        ),
        errno.EILSEQ: "give it a name that this file system takes",
        errno.EINVAL: "give it a name that this file system takes",
    }.get(error.errno or 0, "check that disk")
