"""Stops this process where nothing is half done: a signal only sets a flag, and work checks it between two steps.

By itself Python raises wherever the main thread happens to be when a signal comes. In a callback from C code, in a
finalizer or in a weak reference's callback, the exception is printed and lost, and the work goes on. So the flag stays
set until it is heeded, and a thread makes sure of that: work that does not check the flag is interrupted after a while
all the same, again and again until it ends. What a stopped run reports is up to Dagster (`defs`).
"""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

_INSIST_AFTER_S = 2.5
"""Work that has not checked the flag by then is interrupted where it is."""

_INSIST_EVERY_S = 0.5
_FINISH_WITHIN_S = 4.0
"""Recording is interrupted after this: another process may hold a lock for longer."""


class Stopped(KeyboardInterrupt):
    """This process was asked to stop. Not an `Exception`, so that no handler takes it for a fault."""

    def __init__(self) -> None:
        super().__init__("stopped; what was finished is kept")


class _StopState:
    """Whether this process was asked to stop, since when, and whether it is recording what it did."""

    def __init__(self) -> None:
        self.n_runs = 0
        self.n_finishing = 0
        self.at_s: float | None = None
        self.is_over = threading.Event()

    def for_s(self) -> float:
        return 0.0 if self.at_s is None else time.monotonic() - self.at_s


_state = _StopState()


@contextlib.contextmanager
def orderly() -> Iterator[None]:
    """Encloses a run in this process; only within the block does `listen` take over the signals."""
    _state.n_runs += 1
    try:
        yield
    finally:
        _state.n_runs -= 1
        if not _state.n_runs:
            _state.is_over.set()
            _state.at_s, _state.is_over = None, threading.Event()


def listen() -> None:
    """Makes SIGINT and SIGTERM request a stop, until the previous handlers are installed again.

    Raises:
        Stopped: a stop was requested already.
    """
    if not _state.n_runs or threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _hear)
    look()


def look() -> None:
    """Stops here, between two steps, if a stop was requested.

    Raises:
        Stopped: it was.
    """
    if _state.at_s is not None and _is_due(0.0):
        raise Stopped


def asked_for_s() -> float | None:
    """Seconds since a stop was requested; None if none was."""
    return None if _state.at_s is None else _state.for_s()


@contextlib.contextmanager
def finishing() -> Iterator[None]:
    """Encloses the recording of results; a stop waits for the end of the block, but not for ever."""
    _state.n_finishing += 1
    try:
        yield
    finally:
        _state.n_finishing -= 1


def _hear(_number: int, _frame: FrameType | None) -> None:
    if _state.at_s is None:
        _state.at_s = time.monotonic()
        main = threading.main_thread().ident
        threading.Thread(target=_insist, args=(main, _state.is_over), daemon=True, name="stopping").start()
    elif _is_due(_INSIST_AFTER_S):
        raise Stopped


def _is_due(after_s: float) -> bool:
    """Whether the work may be interrupted now."""
    return _state.for_s() >= (_FINISH_WITHIN_S if _state.n_finishing else after_s)


def _insist(main: int, is_over: threading.Event) -> None:
    wait_s = _INSIST_AFTER_S
    while not is_over.wait(wait_s):
        signal.pthread_kill(main, signal.SIGINT)  # makes a blocking call of the main thread return
        wait_s = _INSIST_EVERY_S
