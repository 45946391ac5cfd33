"""Shifts what a process takes for the time: this one's for the length of a block, that of the commands started in it.

Files, processes and everything else are real. What the kernel says is left alone: mtimes of files, the uptime, and
clocks that only count on. Another module than `time` and `datetime` may ask C for the time and be told the truth.
"""

import ctypes
import datetime as dt
import gc
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SHIFT = "SHIFTED_CLOCK"
_AT_START = f"""\
import importlib.util, os
spec = importlib.util.spec_from_file_location("shifted_clock", {__file__!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.shift(module.written(os.environ[{_SHIFT!r}]))
"""


@contextmanager
def clock_ahead(*, days: float) -> Iterator[None]:
    """This process's clock runs ahead by that much, or behind below 0."""
    undo = shift(lambda: days * 86_400)
    try:
        yield
    finally:
        undo()


@contextmanager
def commands_ahead(*, days: float) -> Iterator[Callable[[float], None]]:
    """The same for Python processes that are started in the block, and for those that they start.

    Gives a function that sets the clock of all of them anew, the living ones' too.
    """
    names = ("PYTHONPATH", _SHIFT)
    before = {name: os.environ.get(name) for name in names}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "sitecustomize.py").write_text(_AT_START)
        path = Path(folder, "shift")

        def set_clock(days: float) -> None:
            path.with_suffix(".new").write_text(str(days * 86_400))
            path.with_suffix(".new").replace(path)

        set_clock(days)
        os.environ.update({"PYTHONPATH": folder, _SHIFT: str(path)})
        try:
            yield set_clock
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})


def written(path: str) -> Callable[[], float]:
    """What a file says, in seconds; the last it said when it is gone."""
    last_s = 0.0

    def read() -> float:
        nonlocal last_s
        try:
            with open(path, encoding="ascii") as file:
                last_s = float(file.read())
        except OSError:
            pass
        return last_s

    return read


def shift(by_s: Callable[[], float]) -> Callable[[], None]:
    """Moves the clock of this process; returns what moves it back."""
    told_s, told_ns, told = time.time, time.time_ns, dt.datetime.now

    def by() -> dt.timedelta:
        return dt.timedelta(seconds=by_s())

    def now_s() -> float:
        is_grpc = sys._getframe(1).f_globals.get("__name__", "").startswith("grpc.")  # it hands deadlines to its C part
        return told_s() + (0.0 if is_grpc else by_s())

    time.time = now_s
    time.time_ns = lambda: told_ns() + int(by_s() * 1e9)
    before = [
        (owner, name, _replaced(owner, name, classmethod(method)))
        for owner, name, method in (
            (dt.datetime, "now", lambda _cls, tz=None: told(tz) + by()),
            (dt.datetime, "utcnow", lambda _cls: told(dt.UTC).replace(tzinfo=None) + by()),
            (dt.date, "today", lambda _cls: (told() + by()).date()),
        )
    ]

    def undo() -> None:
        time.time, time.time_ns = told_s, told_ns
        for owner, name, method in before:
            _replaced(owner, name, method)

    return undo


def _replaced(owner: type, name: str, method: Any) -> Any:
    """The method that another one took the place of, for everybody who holds that class, be it written in C."""
    (namespace,) = gc.get_referents(owner.__dict__)
    before = namespace[name]
    namespace[name] = method
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(owner))
    return before
