"""Shifts what a process takes for the time: this one's for the length of a block, that of the commands started in it.

Files, processes and everything else are real. What the kernel says is left alone: mtimes of files, the uptime, and
clocks that only count on. Another module than `time` and `datetime` may ask C for the time and be told the truth.
"""

import ctypes
import datetime as dt
import gc
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SHIFT = "SHIFTED_CLOCK_S"
_AT_START = f"""\
import importlib.util, os
spec = importlib.util.spec_from_file_location("shifted_clock", {__file__!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.shift(float(os.environ[{_SHIFT!r}]))
"""


@contextmanager
def clock_ahead(*, days: float) -> Iterator[None]:
    """This process's clock runs ahead by that much, or behind below 0."""
    undo = shift(days * 86_400)
    try:
        yield
    finally:
        undo()


@contextmanager
def commands_ahead(*, days: float) -> Iterator[None]:
    """The same for Python processes that are started in the block, and for those that they start."""
    names = ("PYTHONPATH", _SHIFT)
    before = {name: os.environ.get(name) for name in names}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "sitecustomize.py").write_text(_AT_START)
        os.environ.update({"PYTHONPATH": folder, _SHIFT: str(days * 86_400)})
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})


def shift(seconds: float) -> Callable[[], None]:
    """Moves the clock of this process; returns what moves it back."""
    told_s, told_ns, told, by = time.time, time.time_ns, dt.datetime.now, dt.timedelta(seconds=seconds)

    def now(_cls: Any, tz: dt.tzinfo | None = None) -> dt.datetime:
        return told(tz) + by

    time.time = lambda: told_s() + seconds
    time.time_ns = lambda: told_ns() + int(seconds * 1e9)
    before = [
        (owner, name, _replaced(owner, name, classmethod(method)))
        for owner, name, method in (
            (dt.datetime, "now", now),
            (dt.datetime, "utcnow", lambda _cls: told(dt.UTC).replace(tzinfo=None) + by),
            (dt.date, "today", lambda _cls: (told() + by).date()),
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
