"""Lets at most one large picture at a time into memory, over all workers of a pool.

How large a picture is shows only in its header, which only its worker has read. So the worker asks, between header and
pixels: small ones go on at once, a large one waits until no other large one is in flight. What a picture may hold at
most is the renderer's limit; which task runs where is decided in `pool`.
"""

import fcntl
import signal
import tempfile
from typing import IO

SHARED_PIXELS = 30_000_000
"""Most pixels that any worker may hold decoded at any time: 120 MB at 4 bytes. 24 MP cameras never wait."""


def make_room() -> IO[bytes]:
    """The file whose lock is the turn; workers inherit its descriptor, and the kernel frees it when they die."""
    return tempfile.TemporaryFile()


class Room:
    """One worker's access to the turn.

    Args:
        descriptor: of the file from `make_room`; None where there is one worker only.
        shared_pixels: pixels up to which nothing has to wait.
    """

    def __init__(self, descriptor: int | None, shared_pixels: int = SHARED_PIXELS) -> None:
        self._descriptor = descriptor
        self._shared_pixels = shared_pixels
        self._has_turn = False

    def admit(self, n_pixels: int) -> None:
        """Returns when so many pixels may be decoded; the deadline stands still meanwhile."""
        if self._descriptor is None or self._has_turn or n_pixels <= self._shared_pixels:
            return
        remaining_s, _ = signal.setitimer(signal.ITIMER_REAL, 0)
        # A record lock belongs to a process; a lock of flock's would belong to all that inherited the descriptor.
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
        self._has_turn = True
        signal.setitimer(signal.ITIMER_REAL, remaining_s)

    def leave(self) -> None:
        """Gives the turn back, if it was taken; called after each source."""
        if self._has_turn and self._descriptor is not None:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN)
            self._has_turn = False
