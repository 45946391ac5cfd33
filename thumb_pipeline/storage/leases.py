"""Locks that the kernel releases with their process: one lease a process, one lock a dataset slice.

A lease is a locked file named after its holder. Workers inherit it, so it is free only when the last process that
could still write has ended. `stages.library.clean_up` reads abandoned leases, and cleans up after their holders.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import re
import secrets
import signal
import stat
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from thumb_pipeline.domain.identifiers import is_lease_id
from thumb_pipeline.domain.paths import inside
from thumb_pipeline.storage import stopping

_PR_SET_PDEATHSIG = 1  # prctl(2)
_HOLDER = "pid "
"""Starts the line that names the holder of a lease; the lines after it are the holder's notes."""

_PID = re.compile(r"[1-9][0-9]{0,9}")
_SUFFIX = ".lease"
_NO_FILE = frozenset({errno.ELOOP, errno.EISDIR, errno.ENXIO})
"""The errors of opening a link, a folder or a socket: none of them is a lease of ours."""

_MOST_NOTES_BYTES = 64 * 1024 * 1024


class LockTimeout(Exception):
    """Another process holds a lock that is normally held for well under a second."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A held lease: its id (8 hex digits, part of temporary names) and the descriptor that workers inherit."""

    id: str
    descriptor: int


@contextlib.contextmanager
def hold_lease(folder: str) -> Iterator[Lease]:
    """Holds a fresh lease until the block ends; then removes its file, as there is nothing left to clean up."""
    os.makedirs(folder, exist_ok=True)
    lease_id = secrets.token_hex(4)
    path, unfinished = _lease_path(folder, lease_id), inside(folder, f".{lease_id}")
    descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.write(descriptor, f"{_HOLDER}{os.getpid()}\n".encode())
    os.rename(unfinished, path)  # no process ever sees it unlocked while this one lives
    try:
        yield Lease(lease_id, descriptor)
    finally:
        with contextlib.suppress(FileNotFoundError):  # its disk may be gone by now
            os.unlink(path)
        os.close(descriptor)


class LeaseState(Enum):
    """The states of a lease."""

    UNKNOWN = "unknown"  # there is no such file: released, cleaned up, or never of this library
    HELD = "held"
    ABANDONED = "abandoned"  # its holder ended without releasing it


def lease_state(folder: str, lease_id: str) -> LeaseState:
    """The state of a lease; UNKNOWN for a text that is no lease id. A lease that cannot be checked counts as held."""
    if not is_lease_id(lease_id):
        return LeaseState.UNKNOWN
    try:
        descriptor = os.open(_lease_path(folder, lease_id), os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return LeaseState.UNKNOWN
    except OSError as error:
        return LeaseState.UNKNOWN if error.errno in _NO_FILE else LeaseState.HELD
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return LeaseState.UNKNOWN
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_given_back = os.fstat(descriptor).st_nlink == 0  # since we opened it
    except OSError:
        return LeaseState.HELD
    finally:
        os.close(descriptor)
    return LeaseState.UNKNOWN if is_given_back else LeaseState.ABANDONED


def is_free(folder: str, lease_id: str) -> bool:
    """Whether no living process holds this lease."""
    return lease_state(folder, lease_id) is not LeaseState.HELD


def note(folder: str, lease_id: str, text: str) -> None:
    """Adds a note to a lease, for the process that cleans up if the holder is killed."""
    with open(_lease_path(folder, lease_id), "a", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text + "\n")


def find_abandoned(folder: str) -> dict[str, list[str]]:
    """The leases whose holders ended without releasing them, with the notes in each."""
    notes = {}
    for lease_id in _list_lease_ids(folder):
        if lease_state(folder, lease_id) is LeaseState.ABANDONED:
            lines = _read_lines(folder, lease_id)
            notes[lease_id] = [line for line in lines if not line.startswith(_HOLDER)]
    return notes


def holder(folder: str, lease_id: str) -> int | None:
    """The id of the process that holds a lease; None if the lease is free, or does not say."""
    if lease_state(folder, lease_id) is not LeaseState.HELD:
        return None
    pid = next(iter(_read_lines(folder, lease_id)), "").removeprefix(_HOLDER).strip()
    return int(pid) if _PID.fullmatch(pid) else None


def forget(folder: str, lease_id: str) -> None:
    """Removes an abandoned lease once everything of its holder is cleaned up."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_lease_path(folder, lease_id))


def die_with_parent() -> None:
    """Makes the kernel end this process with its parent. Linux only; elsewhere a closed pipe has to do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@contextlib.contextmanager
def lock(path: str, *, timeout_s: float = 60.0) -> Iterator[None]:
    """Holds an exclusive lock on the file `path`; makes the file and its folder if needed.

    Raises:
        LockTimeout: after `timeout_s`.
        OSError: the disk does not take the file.
        Stopped: a stop was requested before the lock was held.
    """
    stopping.look()
    os.makedirs(os.path.dirname(path), exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _wait_for(descriptor, path, timeout_s)
        yield
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, path: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise LockTimeout(
                    f"{path} has been locked for {timeout_s:.0f} s; another process may hang: end it, then repeat"
                ) from None
            stopping.look()
            time.sleep(0.005)
        else:
            return


def _list_lease_ids(folder: str) -> list[str]:
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    ids = [name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)]
    return [lease_id for lease_id in ids if is_lease_id(lease_id)]


def _read_lines(folder: str, lease_id: str) -> list[str]:
    """Reads the lines of a lease; none if it is gone or cannot be read."""
    try:
        descriptor = os.open(_lease_path(folder, lease_id), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, encoding="utf-8", errors="surrogateescape") as file:
            return file.read(_MOST_NOTES_BYTES).splitlines()
    except OSError:
        return []


def _lease_path(folder: str, lease_id: str) -> str:
    if not is_lease_id(lease_id):
        raise ValueError(f"{lease_id[:80]!r} is not the id of a lease")
    return inside(folder, lease_id + _SUFFIX)
