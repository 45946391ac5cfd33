"""How far a wall clock can be trusted: whether its last step was plausible, and from when on ages count.

A clock that runs ahead makes everything look old at once. So an age that decides a deletion counts only from the moment
since which the clock has been steady. `stages.library.clock` reads the clocks and stores the note.
"""

import math
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Self

from thumb_pipeline.domain.quantities import human_seconds

SLACK_S = 300.0
SLACK = timedelta(seconds=SLACK_S)
"""How far a clock may step back, and a timestamp lie ahead of it, without being reported: time servers cause that."""

_DRIFT_S = 3600.0
"""How far the wall clock and the machine's uptime may drift apart: clocks without a time server drift."""

_OFF_S = 3 * 86_400.0
"""How long a machine may have been off: a long weekend. Only a clock with a battery counts that time, if it works."""

_SETTING_S = 600.0
"""A machine without such a battery gets the time from the network, at most some minutes after its start."""

TROUBLED_S = 7 * 86_400.0
"""For how long after a jump a person must confirm deletions that rest on an age alone."""

LATEST_S = 253_370_764_800.0
"""Later moments are cut to this one: datetime has no year after 9999."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a machine's clocks said at one moment.

    Attributes:
        at_s: the wall clock, in seconds since 1970.
        uptime_s: seconds since the machine was started; None if unknown.
        boot_id: identifies that start of the machine; None if unknown.
    """

    at_s: float
    uptime_s: float | None = None
    boot_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockNote:
    """The last reading, and what is known of the wall clock until then.

    Attributes:
        at_s: the wall clock at the last reading (see `Reading`).
        uptime_s: the uptime at the last reading.
        boot_id: the start of the machine at the last reading.
        steady_since_s: since when the clock has made no implausible step, in seconds since 1970; 0 means always.
        jump_s: how far that step was wrong, negative if backwards; 0 for no step, None if nobody watched before.
        before_jump_s: what the clock said before that step.
        ahead_s: the latest timestamp from the future that a jump explains; 0 for none.
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
        """The note that `document` gave; None for anything else."""
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
        """The note as it is stored."""
        return asdict(self)


def first_note(now: Reading, *, is_new: bool) -> ClockNote:
    """The first note of a library; a library that is not new may hold timestamps of any clock."""
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
        before: the last note.
        now: the new reading.
        newest_s: the latest of some timestamps of ours; if it lies in the future, the clock went back unnoticed.
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
    """How far the wall clock went wrong between two readings, negative if backwards; 0 for a plausible step.

    While a machine runs, its uptime says how long the step should have been. After a restart, the uptime is only the
    least length of the step, as the machine may have been off before. Without an uptime, only the step is judged.
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
    """Whether the machine was not restarted; a restarted container may keep the boot id, with a smaller uptime."""
    if before.boot_id is None or before.boot_id != now.boot_id or before.uptime_s is None or now.uptime_s is None:
        return False
    return now.uptime_s >= before.uptime_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Ages:
    """How old things are, as far as the clock can be trusted.

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
        """The same at another moment, up to which the clock counts as steady; unchanged for None."""
        return self if now is None else replace(self, now=now)

    def counted_from(self, stamp: datetime) -> datetime:
        """The moment from which something's age counts.

        A timestamp from the future says nothing. If a jump explains it, the age counts from that jump; otherwise the
        age is zero.
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
        """Whether the clock jumped, or was first read, within the last week."""
        is_steady = self.note.jump_s == 0.0 or self.now - self.steady_since >= timedelta(seconds=TROUBLED_S)
        return not is_steady

    @property
    def trouble(self) -> str:
        """What happened to the clock, as a clause for a message."""
        if self.note.jump_s is None:
            return f"nothing is known of the clock before {_utc_text(self.note.steady_since_s)}"
        direction = "ahead" if self.note.jump_s > 0 else "back"
        whole_hours_s = round(abs(self.note.jump_s) / 3600) * 3600.0  # 400 days less a minute are 400 days
        went = f"the clock went {direction} by {human_seconds(whole_hours_s or abs(self.note.jump_s))}"
        return f"{went} since it was looked at last, at {_utc_text(self.note.before_jump_s)}"


def moment(at_s: float) -> datetime:
    """Seconds since 1970 UTC as a datetime; what no datetime can be, such as a broken clock left on a disk, is cut."""
    return datetime.fromtimestamp(max(0.0, min(at_s, LATEST_S)), UTC)


def _utc_text(at_s: float) -> str:
    return f"{moment(at_s):%Y-%m-%d %H:%M} UTC"


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return -LATEST_S <= value <= LATEST_S and math.isfinite(value)


def _is_moment(value: object) -> bool:
    return _is_number(value) and value >= 0  # type: ignore[operator]  # it is a number
