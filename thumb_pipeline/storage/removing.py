"""Moves and removes single files by descriptor, so that no link swapped in meanwhile leads elsewhere.

A folder is opened once, proved to be the right one, and every file in it is checked and renamed relative to that
descriptor. Whole trees are never removed: only files that were listed before, or whose names have a form that only this
program uses. What is to be moved, and why, is decided in `stages`.
"""

import ctypes
import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from thumb_pipeline.domain.paths import inside
from thumb_pipeline.domain.removals import KeptReason
from thumb_pipeline.storage import stopping
from thumb_pipeline.storage.folders import mtime_ns
from thumb_pipeline.storage.frames_guard import FramesGuard, HoldsFrames
from thumb_pipeline.storage.publishing import CannotWrite

_RENAME_NOREPLACE = 1  # renameat2(2)
_NOT_SUPPORTED = (errno.EINVAL, errno.ENOSYS)


class WrongFolder(Exception):
    """A folder is not what a report said it was; nothing in it may be touched."""

    def __init__(self, path: str, reason: KeptReason) -> None:
        super().__init__(f"{path}: {reason}")
        self.reason = reason


@contextmanager
def open_folder(path: str) -> Iterator[int]:
    """Opens the folder at `path`, if no link leads there; a later change of the path does not affect the descriptor.

    Args:
        path: absolute and resolved: the opened folder must have exactly this path.

    Raises:
        WrongFolder: with the reason why files in it are kept.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError as error:
        raise WrongFolder(path, KeptReason.GONE) from error
    except NotADirectoryError as error:
        raise WrongFolder(path, KeptReason.OUTSIDE) from error
    except OSError as error:
        reason = KeptReason.OUTSIDE if error.errno == errno.ELOOP else KeptReason.NOT_MOVABLE
        raise WrongFolder(path, reason) from error
    try:
        if os.readlink(f"/proc/self/fd/{descriptor}") != path:
            raise WrongFolder(path, KeptReason.OUTSIDE)
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def own_folder(path: str, guard: FramesGuard) -> Iterator[int]:
    """Opens the folder at `path`, if no link leads there and it holds no timelapse's sources.

    Args:
        path: absolute and resolved: the opened folder must have exactly this path.
        guard: knows the folders of sources; a bind mount may show one under another path.

    Raises:
        WrongFolder: with the reason why files in it are kept.
    """
    with open_folder(path) as folder:
        try:
            guard.admit(folder, os.fsencode(path))
        except (HoldsFrames, OSError) as error:
            raise WrongFolder(path, KeptReason.FRAMES) from error
        yield folder


def place_of(path: str) -> tuple[int, str]:
    """Device and mount of a folder; a rename works between folders where both are equal.

    Raises:
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii", errors="replace") as file:
            mount = next((line.partition(":")[2].strip() for line in file if line.startswith("mnt_id:")), "")
        return os.fstat(descriptor).st_dev, mount
    finally:
        os.close(descriptor)


def take(name: bytes, n_bytes: int, mtime: int, *, folder: int, trash: int | None) -> KeptReason | None:
    """Moves a file that still has this size and mtime into the folder `trash`, or unlinks it if there is no trash.

    Returns:
        Why it was kept; None if it was moved or unlinked.

    Raises:
        Stopped: a stop was requested; the file is where it was.
    """
    stopping.look()
    try:
        before = os.stat(name, dir_fd=folder, follow_symlinks=False)
        reason = _mismatch(before, n_bytes, mtime)
        if reason is not None:
            return reason
        if trash is None:
            os.unlink(name, dir_fd=folder)
            return None
        rename_new(name, folder, trash)
        after = os.stat(name, dir_fd=trash, follow_symlinks=False)
        if after.st_ino == before.st_ino and _mismatch(after, n_bytes, mtime) is None:
            return None
        rename_new(name, trash, folder)  # replaced between the check and the move: the new file goes back
    except FileNotFoundError:
        return KeptReason.GONE
    except FileExistsError:
        return KeptReason.OCCUPIED
    except OSError:
        return KeptReason.NOT_MOVABLE
    return KeptReason.CHANGED


def remove_seen(name: bytes, seen: os.stat_result, *, folder: int) -> bool:
    """Removes a regular file that is still the one that was looked at; returns whether it was removed.

    Args:
        name: of the file.
        seen: its state when its content was read.
        folder: descriptor of the folder it lies in.

    Raises:
        OSError: the file system refuses.
    """
    try:
        now = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not os.path.samestat(now, seen) or _mismatch(now, seen.st_size, mtime_ns(seen)) is not None:
            return False
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    return True


def put_back(name: bytes, *, trash: int, folder: int) -> KeptReason | None:
    """Moves a file back out of the folder `trash`; a file that is in its place is never replaced.

    Returns:
        Why it was kept; None if it is back.

    Raises:
        Stopped: a stop was requested; the file is where it was.
    """
    stopping.look()
    try:
        waiting = os.stat(name, dir_fd=trash, follow_symlinks=False)
        if not stat.S_ISREG(waiting.st_mode):
            return KeptReason.NOT_A_FILE
        rename_new(name, trash, folder)
    except FileNotFoundError:
        return KeptReason.GONE
    except FileExistsError:
        standing = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not os.path.samestat(waiting, standing):
            return KeptReason.OCCUPIED
        os.unlink(name, dir_fd=trash)  # an earlier call was killed between link and unlink
    except OSError:
        return KeptReason.NOT_MOVABLE
    return None


def rename_new(name: bytes, source: int, target: int) -> None:
    """Renames a file from one folder to another under the same name, if that name is free there.

    Raises:
        FileExistsError: it is not.
        OSError: the file system refuses.
    """
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is not None:
        if rename(source, name, target, name, _RENAME_NOREPLACE) == 0:
            return
        number = ctypes.get_errno()
        if number not in _NOT_SUPPORTED:
            raise OSError(number, os.strerror(number))
    # Network file systems: a link fails for a name that is taken, too, but needs a second step.
    os.link(name, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    os.unlink(name, dir_fd=source)


@contextmanager
def trash_folder(path: str) -> Iterator[int]:
    """Opens a folder in the trash, which is made if needed and must not be a link.

    Raises:
        WrongFolder: a link leads there, or it cannot be made.
    """
    make_folder(path)
    with open_folder(path) as folder:
        yield folder


def make_folder(path: str) -> None:
    """Makes a folder and its missing parents.

    Raises:
        WrongFolder: the file system refuses.
    """
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise WrongFolder(path, KeptReason.NOT_MOVABLE) from error


def settle_folder(folder: int, path: str) -> None:
    """Makes renames into and out of an opened folder survive a power cut.

    Raises:
        CannotWrite: the disk does not take them.
    """
    try:
        os.fsync(folder)
    except OSError as error:
        raise CannotWrite(f"cannot write {path}: {error.strerror}; check that disk, then repeat") from error


def remove_file(name: bytes, *, folder: int) -> bool:
    """Removes a regular file, and nothing else that may have the name; returns whether it was removed.

    Raises:
        OSError: the file system refuses.
    """
    with suppress(FileNotFoundError):
        if stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=folder)
            return True
    return False


def discard(path: bytes | str) -> None:
    """Removes a file of ours by its path, whose last name was checked (`domain.paths`); it may be gone already.

    Raises:
        OSError: the file system refuses.
    """
    with suppress(FileNotFoundError):
        os.unlink(path)


def remove_folder_if_empty(path: str) -> None:
    """Removes a folder if it is empty; any other stays."""
    with suppress(OSError):
        os.rmdir(path)


def remove_files(path: str, is_ours: Callable[[str], bool]) -> None:
    """Removes files of a folder that are ours, then the folder itself if nothing else is in it.

    A folder that is absent, or reached through a link, is left alone; so is everything that is not a regular file.

    Args:
        path: absolute and resolved.
        is_ours: says of a file's name whether the file is ours.

    Raises:
        OSError: something of ours cannot be removed.
    """
    try:
        with open_folder(path) as folder:
            for name in filter(is_ours, os.listdir(folder)):
                remove_file(os.fsencode(name), folder=folder)
    except WrongFolder:
        return
    remove_folder_if_empty(path)


def remove_empty(path: str) -> None:
    """Removes the folders below `path`, and itself, that hold nothing."""
    for folder, _, _ in os.walk(path, topdown=False):
        remove_folder_if_empty(folder)


def usage(path: str) -> tuple[int, int]:
    """The number of regular files below a folder, and the bytes there.

    Raises:
        OSError: it exists and cannot be read.
    """
    n_files = n_bytes = 0
    for folder, _, names in os.walk(os.fsencode(path), onerror=_raise_unless_absent):
        for name in names:
            status = os.lstat(inside(folder, name))
            n_files += stat.S_ISREG(status.st_mode)
            n_bytes += status.st_size
    return n_files, n_bytes


def _mismatch(status: os.stat_result, n_bytes: int, mtime: int) -> KeptReason | None:
    if not stat.S_ISREG(status.st_mode):
        return KeptReason.NOT_A_FILE
    return None if (status.st_size, mtime_ns(status)) == (n_bytes, mtime) else KeptReason.CHANGED


def _raise_unless_absent(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
