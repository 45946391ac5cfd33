"""Keeps a note of what the clock said at its last reading, next to the records that use it: `<state>/clock.json`.

The clock is read whenever a lease is taken. What follows from a step of the clock is in `domain.clocks`.
"""

import contextlib
import json
import os
import time
from datetime import datetime

from thumb_pipeline.domain.clocks import Ages, ClockNote, Reading, first_note, moment, next_note
from thumb_pipeline.domain.paths import inside
from thumb_pipeline.storage import publishing
from thumb_pipeline.storage.reading import read_small

NAME = "clock.json"
"""The file in the state folder."""

_HAVE_AGES = ("datasets", "plans", "trash")
"""Folders of the state that exist once anything with a time was written."""

_EVERY_S = 3600.0
_MOST_BYTES = 4096
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_UPTIME = "/proc/uptime"


def look(state: str, *, newest: datetime | None = None) -> Ages:
    """Reads the clock, writes the note if it is due, and returns what ages are computed by.

    If the note cannot be written, the next reading does not know this one: ages then count from the next one on.

    Args:
        state: the state folder of a library.
        newest: the latest of the stamps whose ages are wanted; a stamp in the future shows that the clock stepped back.
    """
    now = _read_clock()
    before = _read_note(state)
    note = _make_note(state, before, now, newest)
    if os.path.isdir(state) and _is_due(before, note):
        with contextlib.suppress(publishing.CannotWrite, publishing.NameTaken):
            data = json.dumps(note.document()).encode()
            publishing.publish(os.fsencode(_path(state)), data, writer="dataset", durable=True, makes_folder=False)
    return Ages(now=moment(now.at_s), note=note)


def peek(state: str, *, newest: datetime | None = None) -> Ages:
    """The same as `look`, without writing the note."""
    now = _read_clock()
    return Ages(now=moment(now.at_s), note=_make_note(state, _read_note(state), now, newest))


def _make_note(state: str, before: ClockNote | None, now: Reading, newest: datetime | None) -> ClockNote:
    if before is None:
        is_new = not any(os.path.lexists(inside(state, name)) for name in _HAVE_AGES)
        before = first_note(now, is_new=is_new)
    return next_note(before, now, newest_s=0.0 if newest is None else newest.timestamp())


def _is_due(before: ClockNote | None, note: ClockNote) -> bool:
    if before is None or note.steady_since_s != before.steady_since_s or note.ahead_s != before.ahead_s:
        return True
    return note.boot_id != before.boot_id or not 0 <= note.at_s - before.at_s < _EVERY_S


def _read_note(state: str) -> ClockNote | None:
    """The note; None if there is no file, or it is not a note."""
    try:
        return ClockNote.parsed(json.loads(read_small(_path(state), _MOST_BYTES)))
    except (OSError, ValueError, RecursionError):
        return None


def _read_clock() -> Reading:
    return Reading(at_s=time.time(), uptime_s=_read_uptime_s(), boot_id=_read_kernel_file(_BOOT_ID) or None)


def _read_uptime_s() -> float | None:
    try:
        return float(_read_kernel_file(_UPTIME).split()[0])
    except (ValueError, IndexError):
        return None


def _read_kernel_file(path: str) -> str:
    """The text of a file of the kernel, stripped; empty on other kernels than Linux."""
    try:
        return read_small(path, _MOST_BYTES).decode().strip()
    except (OSError, ValueError):
        return ""


def _path(state: str) -> str:
    return inside(state, NAME)
