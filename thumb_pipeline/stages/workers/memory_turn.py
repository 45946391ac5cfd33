"""Lets at most one large picture at a time into memory, over all workers of a pool.

The size of a picture is only in its header, which its worker reads. So the worker asks between header and pixels: a
small picture is decoded at once, a large one waits for a lock until no other large one is in memory. The renderer
limits how large a picture may be; `pool` decides which task runs where.
"""

import fcntl
import signal
import tempfile
from typing import IO

SHARED_PIXELS = 30_000_000
"""Most pixels that any worker may hold decoded at any time: 120 MB at 4 bytes. 24 MP cameras never wait."""


def make_room() -> IO[bytes]:
    """The file whose lock is the turn; workers inherit its descriptor, and the kernel frees the lock when they end."""
    return tempfile.TemporaryFile()


class Room:
    """One worker's access to the turn.

    Args:
        descriptor: of the file from `make_room`; None if there is only one worker.
        shared_pixels: a picture of up to this many pixels never waits.
    """

    def __init__(self, descriptor: int | None, shared_pixels: int = SHARED_PIXELS) -> None:
        self._descriptor = descriptor
        self._shared_pixels = shared_pixels
        self._has_turn = False

    def admit(self, n_pixels: int) -> None:
        """Returns when this many pixels may be decoded; the wall-clock deadline is suspended while it waits."""
        if self._descriptor is None or self._has_turn or n_pixels <= self._shared_pixels:
            return
        remaining_s, _ = signal.setitimer(signal.ITIMER_REAL, 0)
        # A record lock belongs to one process; a flock would belong to all workers that inherited the descriptor.
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
        self._has_turn = True
        signal.setitimer(signal.ITIMER_REAL, remaining_s)

    def leave(self) -> None:
        """Releases the turn if it was taken; called after each picture."""
        if self._has_turn and self._descriptor is not None:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN)
            self._has_turn = False
