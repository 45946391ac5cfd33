"""When a picture was taken: what its name, its EXIF and its mtime say, in that order of trust.

Instants are UTC. A camera's local time is read in the timezone that the settings give it. A day number (`day012`) is
a date only relative to a start date: one that is configured, or one that EXIF of the same timelapse implies.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum
from zoneinfo import ZoneInfo

_EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
_LATEST = datetime(2100, 1, 1, tzinfo=UTC)
_EPOCH_START = datetime(1970, 1, 1, tzinfo=UTC)


class Basis(StrEnum):
    """What a captured_at is based on."""

    NAME = "name"
    DAY_NUMBER = "day_number"
    EXIF = "exif"
    MTIME = "mtime"


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedTime:
    """What a name alone says: an instant, or a day number with a time of day, or neither (both None)."""

    instant: datetime | None = None
    day_number: int | None = None
    time_of_day: time | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """How one timelapse's names and EXIF are read: the camera's timezone, and what day 1 was, where that is known."""

    timezone: ZoneInfo
    start_date: date | None = None

    @property
    def name(self) -> str:
        """Identifies this clock; instants that were computed with another clock are computed again."""
        return f"{self.timezone.key} {self.start_date or ''}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """The instant of a capture in UTC, what it is based on, and the day and time that order a numbered name."""

    captured_at: datetime
    basis: Basis
    day_number: int | None = None
    time_of_day_s: int | None = None


def capture(name: str, exif: str | None, mtime_ns: int, clock: Clock, implied: date | None = None) -> Capture:
    """When a source was captured: by its name, else by its EXIF, else by its mtime.

    Args:
        name: the source's name as text.
        exif: its EXIF time (see `exif_instant`), where it was read.
        mtime_ns: its modification time.
        clock: the timelapse's.
        implied: the start date that EXIF of the same timelapse implies, for day numbers without a configured one.
    """
    named = time_in_name(name, clock.timezone)
    of_day = named.time_of_day
    order = {} if of_day is None else {"day_number": named.day_number, "time_of_day_s": _seconds(of_day)}
    if named.instant is not None:
        return Capture(captured_at=named.instant, basis=Basis.NAME)
    numbered = _day_number_instant(named, clock.start_date, clock)
    if numbered is not None:
        return Capture(captured_at=numbered, basis=Basis.DAY_NUMBER, **order)
    written = exif_instant(exif, clock.timezone) if exif else None
    if written is not None:
        return Capture(captured_at=written, basis=Basis.EXIF, **order)
    numbered = _day_number_instant(named, implied, clock)
    if numbered is not None:
        return Capture(captured_at=numbered, basis=Basis.DAY_NUMBER, **order)
    return Capture(captured_at=_EPOCH_START + timedelta(microseconds=mtime_ns // 1000), basis=Basis.MTIME, **order)


_DAY = re.compile(r"(?:^|_)day(\d{3,6})_(\d{2})(\d{2})(\d{2})(?!\d)", re.ASCII)
_EPOCH = re.compile(r"(\d{10}|\d{13})(?!\d)", re.ASCII)
_ISO_LIKE = re.compile(
    r"(?<!\d)(\d{4})([-_.:]?)(\d{2})\2(\d{2})"
    r"(?:(T)|[_ .-]|(?<=\d)(?=\d))?"
    r"(\d{2})([-_.:h]?)(\d{2})[-_.:m]?(\d{2})"
    r"(?:[.,](\d{1,6})\d{0,3}(?=Z|[+-]\d{2}:?\d{2}|$|\.[A-Za-z]))?"
    r"(?!\d)(Z|[+-]\d{2}:?\d{2}(?!\d))?",
    re.ASCII,
)


def time_in_name(name: str, timezone: tzinfo) -> NamedTime:
    """The time that a file name states, if any.

    Understands `…_YYYYMMDD_HHMMSS…`, `…_dayNNN_HHMMSS…`, ISO-like dates with any usual separators (with `Z` or an
    offset where they carry one), and a leading epoch of 10 digits (seconds) or 13 (milliseconds). Years outside
    1990 to 2099 are taken for serial numbers.

    Args:
        name: the name's text; only its ASCII digits matter.
        timezone: the camera's, for times without one of their own.
    """
    if (day := _DAY.search(name)) and (of_day := _time_of_day(*day.groups()[1:])) is not None:
        return NamedTime(day_number=int(day[1]), time_of_day=of_day)
    if epoch := _EPOCH.match(name):
        instant = datetime.fromtimestamp(int(epoch[1]) / (1000 if len(epoch[1]) == 13 else 1), UTC)
        if _is_plausible(instant):
            return NamedTime(instant=instant)
    for match in _ISO_LIKE.finditer(name):
        written = _iso_instant(match, timezone)
        if written is not None:
            return NamedTime(instant=written)
    return NamedTime()


def exif_instant(written: str, timezone: tzinfo) -> datetime | None:
    """The instant of an EXIF time as `imaging` reports it (ISO, with an offset where the camera wrote one)."""
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        return None
    return _as_utc(moment if moment.tzinfo else moment.replace(tzinfo=timezone))


def day_instant(day_number: int, of_day: time, start: date, timezone: tzinfo) -> datetime | None:
    """The instant of a numbered day's time; day 1 is the start date itself."""
    try:
        day = start + timedelta(days=day_number - 1)
    except OverflowError:
        return None
    return _as_utc(datetime.combine(day, of_day, timezone))


def implied_start(day_number: int, exif: datetime, timezone: tzinfo) -> date | None:
    """The start date that a frame of known day number and EXIF instant implies; None before the year 1.

    Six digits after `day` may be a serial number, which can count more days than there were.
    """
    try:
        return exif.astimezone(timezone).date() - timedelta(days=day_number - 1)
    except OverflowError:
        return None


def _day_number_instant(named: NamedTime, start: date | None, clock: Clock) -> datetime | None:
    if named.day_number is None or named.time_of_day is None or start is None:
        return None
    return day_instant(named.day_number, named.time_of_day, start, clock.timezone)


def _seconds(of_day: time) -> int:
    return of_day.hour * 3600 + of_day.minute * 60 + of_day.second


def _iso_instant(match: re.Match[str], timezone: tzinfo) -> datetime | None:
    year, _, month, day, joint, hour, _, minute, second, fraction, zone = match.groups()
    if zone and zone != "Z" and ":" not in zone and joint is None:
        zone = None  # `2023-06-13_03-11-46-0001.jpg` ends in a serial number
    offset = "+00:00" if zone == "Z" else zone or ""
    micros = (fraction or "").ljust(6, "0")
    try:
        moment = datetime.fromisoformat(f"{year}-{month}-{day}T{hour}:{minute}:{second}.{micros}{offset}")
    except ValueError:
        return None
    return _as_utc(moment if moment.tzinfo else moment.replace(tzinfo=timezone))


def _time_of_day(hour: str, minute: str, second: str) -> time | None:
    try:
        return time(int(hour), int(minute), int(second))
    except ValueError:
        return None


def _as_utc(moment: datetime) -> datetime | None:
    try:
        instant = moment.astimezone(UTC)
    except OverflowError:
        return None
    return instant if _is_plausible(instant) else None


def _is_plausible(instant: datetime) -> bool:
    return _EARLIEST <= instant < _LATEST
