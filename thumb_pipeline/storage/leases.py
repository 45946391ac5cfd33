"""Locks that the kernel releases with their process: one lease a process, one lock a dataset slice.

A lease is a locked file named after its holder. Workers inherit it, so it is free only when the last process that
could still write has ended. Who reads the free ones, and what is cleaned up after them, is `stages.recovery`.
"""

import contextlib
import ctypes
import fcntl
import os
import secrets
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from thumb_pipeline.storage import stopping

_PR_SET_PDEATHSIG = 1  # prctl(2)
_HOLDER = "pid "
"""Starts the line that tells who holds a lease; the lines after it are the holder's notes."""


class LockTimeout(Exception):
    """Somebody else holds a lock that is normally held for well under a second."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A held lease: its id (8 hex digits, part of temporary names) and the descriptor that workers inherit."""

    id: str
    descriptor: int


@contextlib.contextmanager
def hold_lease(folder: str) -> Iterator[Lease]:
    """Holds a fresh lease until the block ends; then its file goes, as there is nothing left to clean up."""
    os.makedirs(folder, exist_ok=True)
    lease_id = secrets.token_hex(4)
    path, unborn = _lease_path(folder, lease_id), os.path.join(folder, f".{lease_id}")
    descriptor = os.open(unborn, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.write(descriptor, f"{_HOLDER}{os.getpid()}\n".encode())
    os.rename(unborn, path)  # nobody ever sees it unlocked while we live
    try:
        yield Lease(lease_id, descriptor)
    finally:
        with contextlib.suppress(FileNotFoundError):  # the disk it lay on went away before we did
            os.unlink(path)
        os.close(descriptor)


def is_free(folder: str, lease_id: str) -> bool:
    """Whether no living process holds this lease."""
    try:
        descriptor = os.open(_lease_path(folder, lease_id), os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def note(folder: str, lease_id: str, text: str) -> None:
    """Adds a line to a lease that its successor reads when the holder was killed."""
    with open(_lease_path(folder, lease_id), "a", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text + "\n")


def abandoned(folder: str) -> dict[str, list[str]]:
    """Leases whose holders are gone without having given them back, with the lines noted in each."""
    try:
        present = [name.removesuffix(".lease") for name in os.listdir(folder) if name.endswith(".lease")]
    except FileNotFoundError:
        return {}
    found = {}
    for lease_id in present:
        if is_free(folder, lease_id):
            path = _lease_path(folder, lease_id)
            with (
                contextlib.suppress(FileNotFoundError),
                open(path, encoding="utf-8", errors="surrogateescape") as file,
            ):
                found[lease_id] = [line for line in file.read().splitlines() if not line.startswith(_HOLDER)]
    return found


def holder(folder: str, lease_id: str) -> int | None:
    """The process that holds a lease; None when it is free."""
    if is_free(folder, lease_id):
        return None
    with open(_lease_path(folder, lease_id), encoding="utf-8", errors="surrogateescape") as file:
        first = file.readline().strip()
    return int(first.removeprefix(_HOLDER)) if first.startswith(_HOLDER) else None


def forget(folder: str, lease_id: str) -> None:
    """Removes an abandoned lease once everything after it is cleaned up."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_lease_path(folder, lease_id))


def die_with_parent() -> None:
    """Has the kernel end this process with its parent; Linux only, closed pipes must do elsewhere."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@contextlib.contextmanager
def locked(path: str, *, timeout_s: float = 60.0) -> Iterator[None]:
    """Holds an exclusive lock on the file `path`, made if needed, as is its folder.

    Raises:
        LockTimeout: after `timeout_s`.
        OSError: the disk does not take the file.
        Stopped: a stop was asked for, before it was held.
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


def _lease_path(folder: str, lease_id: str) -> str:
    return os.path.join(folder, f"{lease_id}.lease")
