"""How far a wall clock can be believed: whether its last step was plausible, and from when on ages count.

A clock that runs ahead makes everything old at once. So an age that decides a deletion counts only from the moment
since which the clock was steady. Reading clocks and keeping the note is `stages.library.clock`.
"""

import math
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Self

from thumb_pipeline.domain.quantities import human_seconds

SLACK_S = 300.0
SLACK = timedelta(seconds=SLACK_S)
"""How far back a clock may be set without a word, and how far ahead of it a stamp may lie: time servers do that."""

_DRIFT_S = 3600.0
"""How far the wall clock and the time since the start of the machine may part: clocks without a time server drift."""

_OFF_S = 3 * 86_400.0
"""How long a machine may have been off, a long weekend: nothing counts that time but a battery that may be empty."""

_SETTING_S = 600.0
"""Machines without such a battery get the time from the network, some minutes after their start at the latest."""

TROUBLED_S = 7 * 86_400.0
"""For how long after a jump a person decides what only an age speaks for."""

LATEST_S = 253_370_764_800.0
"""The last moment that is told apart: datetime knows no year after 9999."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a machine's clocks said at one moment.

    Attributes:
        at_s: the wall clock, in seconds since 1970.
        uptime_s: since the machine was started; None where nobody tells.
        boot_id: names that start; None likewise.
    """

    at_s: float
    uptime_s: float | None = None
    boot_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockNote:
    """The last reading, and what is known of the wall clock until then.

    Attributes:
        at_s: as are the next two, of the last reading.
        uptime_s: see there.
        boot_id: see there.
        steady_since_s: since when it made no implausible step, in seconds since 1970; 0 for ever.
        jump_s: how far the step then went wrong, backwards below 0; 0 for none, None where nobody watched before.
        before_jump_s: what it said before that step.
        ahead_s: the latest stamp from the future that a jump accounts for; 0 for none.
    """

    at_s: float
    uptime_s: float | None = None
    boot_id: str | None = None
    steady_since_s: float = 0.0
    jump_s: float | None = 0.0
    before_jump_s: float = 0.0
    ahead_s: float = 0.0

    @classmethod
    def parsed(cls, written: object) -> "Self | None":
        """What `document` wrote; None for anything else."""
        if not isinstance(written, dict) or set(written) != set(cls.__dataclass_fields__):
            return None
        moments = (written["at_s"], written["steady_since_s"], written["before_jump_s"], written["ahead_s"])
        if not all(_is_moment(value) for value in moments) or written["steady_since_s"] > written["at_s"]:
            return None
        if written["uptime_s"] is not None and not _is_moment(written["uptime_s"]):
            return None
        if written["jump_s"] is not None and not _is_number(written["jump_s"]):
            return None
        if written["boot_id"] is not None and not isinstance(written["boot_id"], str):
            return None
        return cls(**written)

    def document(self) -> dict[str, object]:
        """The note as it is written down."""
        return asdict(self)


def first_note(now: Reading, *, is_new: bool) -> ClockNote:
    """The first note of a library; one that is not new may hold stamps by any clock."""
    return ClockNote(
        at_s=now.at_s,
        uptime_s=now.uptime_s,
        boot_id=now.boot_id,
        steady_since_s=0.0 if is_new else now.at_s,
        jump_s=0.0 if is_new else None,
    )


def next_note(before: ClockNote, now: Reading, *, newest_s: float = 0.0) -> ClockNote:
    """The note after one more reading.

    Args:
        before: the last one.
        now: the reading.
        newest_s: the latest of some stamps of ours; where it lies in the future, the clock stands before what was
            recorded, and went back unseen.
    """
    jump = jump_s(before, now)
    last_s, ahead_s = before.at_s, before.ahead_s
    if jump < 0:
        ahead_s = max(ahead_s, before.at_s)
    if newest_s > now.at_s + SLACK_S and newest_s > ahead_s + SLACK_S:
        jump, last_s, ahead_s = now.at_s - newest_s, newest_s, newest_s
    return ClockNote(
        at_s=now.at_s,
        uptime_s=now.uptime_s,
        boot_id=now.boot_id,
        steady_since_s=now.at_s if jump else min(before.steady_since_s, now.at_s),
        jump_s=jump or before.jump_s,
        before_jump_s=last_s if jump else before.before_jump_s,
        ahead_s=ahead_s,
    )


def jump_s(before: ClockNote, now: Reading) -> float:
    """How far the wall clock went wrong between two readings, backwards below 0; 0 for a step that is plausible.

    While a machine runs, its uptime says how long the step should have been. After a restart it says how long it was
    at least, and the machine may have been off before. Where there is none, only the step itself is judged.
    """
    step_s, passed_s = now.at_s - before.at_s, now.uptime_s or 0.0
    if _is_same_start(before, now):
        passed_s -= before.uptime_s or 0.0
        most_s = _OFF_S if (before.uptime_s or 0.0) < _SETTING_S else _DRIFT_S
    else:
        most_s = _OFF_S
    wrong_s = step_s - passed_s
    is_plausible = step_s >= -SLACK_S and -_DRIFT_S <= wrong_s <= most_s
    return 0.0 if is_plausible else wrong_s


def _is_same_start(before: ClockNote, now: Reading) -> bool:
    """Whether the machine was not started anew; a container may be, under the name of its host's start."""
    if before.boot_id is None or before.boot_id != now.boot_id or before.uptime_s is None or now.uptime_s is None:
        return False
    return now.uptime_s >= before.uptime_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Ages:
    """Tells how old things are, as far as that can be believed.

    Attributes:
        now: UTC.
        note: what is known of the clock.
    """

    now: datetime
    note: ClockNote

    @property
    def steady_since(self) -> datetime:
        """Since when the clock was steady."""
        return moment(self.note.steady_since_s)

    def at(self, now: datetime | None) -> Self:
        """The same at another moment, up to which the clock is steady; without one, as they are."""
        return self if now is None else replace(self, now=now)

    def counted_from(self, stamp: datetime) -> datetime:
        """The moment from which something's age counts.

        A stamp from the future says nothing: what it was put on is as old as the jump that accounts for it, and where
        none does, it is not old at all.
        """
        if stamp <= self.now:
            return max(stamp, self.steady_since)
        is_accounted_for = stamp.timestamp() <= self.note.ahead_s + _DRIFT_S
        return self.steady_since if is_accounted_for else self.now

    def is_past(self, stamp: datetime, age: timedelta) -> bool:
        """Whether something is at least that old."""
        return self.now - self.counted_from(stamp) >= age

    @property
    def is_troubled(self) -> bool:
        """Whether the clock jumped, or was looked at for the first time, within the last week."""
        is_steady = self.note.jump_s == 0.0 or self.now - self.steady_since >= timedelta(seconds=TROUBLED_S)
        return not is_steady

    @property
    def trouble(self) -> str:
        """What happened to the clock, as half a sentence."""
        if self.note.jump_s is None:
            return f"nothing is known of the clock before {_written(self.note.steady_since_s)}"
        direction = "ahead" if self.note.jump_s > 0 else "back"
        whole_hours_s = round(abs(self.note.jump_s) / 3600) * 3600.0  # 400 days less a minute are 400 days
        went = f"the clock went {direction} by {human_seconds(whole_hours_s or abs(self.note.jump_s))}"
        return f"{went} since it was looked at last, at {_written(self.note.before_jump_s)}"


def moment(at_s: float) -> datetime:
    """A moment in seconds since 1970 UTC; one that no date has, such as a disk keeps from a broken clock, is cut."""
    return datetime.fromtimestamp(max(0.0, min(at_s, LATEST_S)), UTC)


def _written(at_s: float) -> str:
    return f"{moment(at_s):%Y-%m-%d %H:%M} UTC"


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return -LATEST_S <= value <= LATEST_S and math.isfinite(value)


def _is_moment(value: object) -> bool:
    return _is_number(value) and value >= 0  # type: ignore[operator]  # it is a number
