"""When a picture was taken, by its name, its EXIF, its neighbours' EXIF, its mtime."""

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thumb_pipeline.domain.capture_times import (
    Basis,
    Capture,
    Clock,
    capture,
    day_instant,
    exif_instant,
    implied_start,
    time_in_name,
)

pytestmark = pytest.mark.quick

ZULU, BERLIN = ZoneInfo("UTC"), ZoneInfo("Europe/Berlin")
MTIME_NS = 1_700_000_000_123_456_789
MTIME = datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)
NUMBERED = "timelapse-1_day003_143022.jpg"


def at(*fields: int) -> datetime:
    return datetime(*fields, tzinfo=UTC)  # type: ignore[arg-type,misc]


def told(name: str, *, exif: str | None = None, start: date | None = None, implied: date | None = None) -> Capture:
    return capture(name, exif, MTIME_NS, Clock(timezone=ZULU, start_date=start), implied)


@pytest.mark.parametrize(
    ("name", "instant"),
    [
        ("timelapse-1_20250422_143022.jpg", at(2025, 4, 22, 14, 30, 22)),
        ("timelapse-20250101_20250422_143022.jpg", at(2025, 4, 22, 14, 30, 22)),
        ("2023-06-13T03_11_46.jpg", at(2023, 6, 13, 3, 11, 46)),
        ("2023-06-13 03.11.46.jpg", at(2023, 6, 13, 3, 11, 46)),
        ("2023-06-13_03-11-46.jpg", at(2023, 6, 13, 3, 11, 46)),
        ("cam 2023-06-13T03:11:46Z.png", at(2023, 6, 13, 3, 11, 46)),
        ("2023-06-13T03:11:46+02:00.jpg", at(2023, 6, 13, 1, 11, 46)),
        ("2023-06-13T03-11-46-0500.jpg", at(2023, 6, 13, 8, 11, 46)),
        ("2023-06-13T03:11:46.250.jpg", at(2023, 6, 13, 3, 11, 46, 250_000)),
        ("20230613031146.jpg", at(2023, 6, 13, 3, 11, 46)),
        ("IMG_20230613_031146_HDR.jpg", at(2023, 6, 13, 3, 11, 46)),
        ("2023.06.13.03h11m46.jpg", at(2023, 6, 13, 3, 11, 46)),
        ("1444314601.Thu.Oct.08_14_30_01.GMT.2015.argus02b.c1.timex.jpg", at(2015, 10, 8, 14, 30, 1)),
        ("1444314601123.jpg", at(2015, 10, 8, 14, 30, 1, 123_000)),
    ],
)
def test_a_name_tells_its_time(name: str, instant: datetime) -> None:
    assert time_in_name(name, ZULU).instant == instant


@pytest.mark.parametrize(
    "name",
    [
        "IMG_0012.JPG",
        "DSC12345678901234.JPG",  # fourteen digits of a serial number
        "MFDC0001_20251301_000000.jpg",  # a thirteenth month
        "20250230_120000.jpg",  # the thirtieth of February
        "20250422_246060.jpg",
        "19000101_000000.jpg",
        "9999999999.jpg",  # the year 2286
        "0444314601.jpg",  # before 1990
        "14443146011.jpg",  # eleven digits
        "x1444314601.jpg",  # not leading
        "202504221430221.jpg",
        "day001.jpg",
        "birthday001_143022.jpg",
        "day001_250000.jpg",
        "\u0662\u0660\u0662\u0665\u0660\u0664\u0662\u0662_143022.jpg",
        "day\u0660\u0660\u0661_143022.jpg",
        "",
    ],
)
def test_a_name_that_tells_no_time_tells_none(name: str) -> None:
    said = time_in_name(name, ZULU)
    assert (said.instant, said.day_number, said.time_of_day) == (None, None, None)


def test_a_serial_number_behind_a_time_is_no_offset() -> None:
    assert time_in_name("2023-06-13_03-11-46-0100.jpg", ZULU).instant == at(2023, 6, 13, 3, 11, 46)


def test_a_name_is_read_in_the_cameras_timezone() -> None:
    assert time_in_name("a_20250422_143022.jpg", BERLIN).instant == at(2025, 4, 22, 12, 30, 22)
    assert time_in_name("a_20250122_143022.jpg", BERLIN).instant == at(2025, 1, 22, 13, 30, 22)


def test_an_hour_that_the_clocks_skip_is_read_as_before_the_change() -> None:
    assert time_in_name("a_20250330_023000.jpg", BERLIN).instant == at(2025, 3, 30, 1, 30)


def test_an_hour_that_comes_twice_is_its_first() -> None:
    assert time_in_name("a_20251026_023000.jpg", BERLIN).instant == at(2025, 10, 26, 0, 30)


@given(st.datetimes(datetime(1990, 1, 2), datetime(2099, 12, 30)), st.sampled_from(["", "-", "_", ".", ":"]))  # noqa: DTZ001 -- local times
def test_every_iso_like_name_is_read_as_written(moment: datetime, joint: str) -> None:
    text = moment.strftime(f"cam1_%Y{joint}%m{joint}%dT%H{joint}%M{joint}%S.jpg")
    assert time_in_name(text, ZULU).instant == moment.replace(microsecond=0, tzinfo=UTC)


@given(st.text(max_size=60))
def test_no_name_upsets_the_reader(name: str) -> None:
    said = time_in_name(name, BERLIN)
    assert said.instant is None or at(1990, 1, 1) <= said.instant < at(2100, 1, 1)


@given(st.text(max_size=40))
def test_no_exif_time_upsets_the_reader(written: str) -> None:
    exif_instant(written, BERLIN)


@pytest.mark.parametrize(
    ("written", "instant"),
    [
        ("2025-04-22T14:30:22", at(2025, 4, 22, 12, 30, 22)),
        ("2025-04-22T14:30:22+09:00", at(2025, 4, 22, 5, 30, 22)),
        ("0001-01-01T00:00:00", None),
        ("1970-01-01T00:00:00", None),  # a camera whose clock was never set
        ("yesterday", None),
    ],
)
def test_an_exif_time_is_local_unless_it_says_otherwise(written: str, instant: datetime | None) -> None:
    assert exif_instant(written, BERLIN) == instant


def test_the_name_is_believed_before_exif() -> None:
    found = told("a_20250422_143022.jpg", exif="2001-01-01T00:00:00")
    assert (found.captured_at, found.basis) == (at(2025, 4, 22, 14, 30, 22), Basis.NAME)


def test_exif_is_believed_before_mtime() -> None:
    found = told("IMG_0012.JPG", exif="2025-04-22T14:30:22")
    assert (found.captured_at, found.basis) == (at(2025, 4, 22, 14, 30, 22), Basis.EXIF)


def test_mtime_is_the_last_resort_to_the_microsecond() -> None:
    found = told("IMG_0012.JPG")
    assert (found.captured_at, found.basis) == (MTIME, Basis.MTIME)


def test_a_day_number_counts_from_the_configured_start() -> None:
    found = told(NUMBERED, exif="2001-01-01T00:00:00", start=date(2025, 4, 22))
    assert (found.captured_at, found.basis) == (at(2025, 4, 24, 14, 30, 22), Basis.DAY_NUMBER)


def test_a_numbered_frame_without_a_start_is_dated_by_its_exif() -> None:
    found = told(NUMBERED, exif="2025-04-22T10:00:00", implied=date(2020, 1, 1))
    assert (found.captured_at, found.basis) == (at(2025, 4, 22, 10), Basis.EXIF)


def test_a_numbered_frame_without_exif_counts_from_the_start_its_neighbours_imply() -> None:
    found = told(NUMBERED, implied=date(2025, 4, 22))
    assert (found.captured_at, found.basis) == (at(2025, 4, 24, 14, 30, 22), Basis.DAY_NUMBER)


def test_a_day_number_alone_is_no_date() -> None:
    found = told(NUMBERED)
    assert (found.captured_at, found.basis) == (MTIME, Basis.MTIME)


@pytest.mark.parametrize("exif", [None, "2025-04-22T10:00:00"])
@pytest.mark.parametrize("start", [None, date(2025, 4, 22)])
def test_day_and_time_of_a_numbered_frame_are_kept_whatever_dates_it(exif: str | None, start: date | None) -> None:
    found = told(NUMBERED, exif=exif, start=start)
    assert (found.day_number, found.time_of_day_s) == (3, 14 * 3600 + 30 * 60 + 22)


def test_a_dated_name_has_no_day_number() -> None:
    assert told("a_20250422_143022.jpg").day_number is None


@given(st.integers(1, 10_000), st.dates(date(1995, 1, 1), date(2070, 1, 1)), st.times())
def test_the_implied_start_is_the_start_that_gave_the_instant(number: int, start: date, of_day: time) -> None:
    instant = day_instant(number, of_day.replace(microsecond=0), start, ZULU)
    assert instant is not None
    assert implied_start(number, instant, ZULU) == start


def test_a_number_of_more_days_than_there_were_implies_no_start() -> None:
    assert implied_start(999_999, at(2025, 4, 22), BERLIN) is None


@given(
    st.integers(0, 999_999) | st.integers(700_000, 999_999),
    st.integers(0, 235_959),
    st.datetimes(),
    st.sampled_from(["", "Z", "+14:00", "-14:00"]),
    st.integers(-(2**63), 2**63 - 1),
    st.dates(),
)
def test_no_numbered_frame_upsets_the_reader(
    number: int, of_day: int, exif: datetime, offset: str, mtime_ns: int, start: date
) -> None:
    name, written = f"timelapse-1_day{number:03d}_{of_day:06d}.jpg", exif.isoformat() + offset
    for clock in (Clock(timezone=BERLIN), Clock(timezone=BERLIN, start_date=start)):
        found = capture(name, written, mtime_ns, clock, implied=start)
        implied_start(number, found.captured_at, clock.timezone)


@pytest.mark.parametrize("of_day", ["240000", "996199", "235960"])
def test_a_time_of_day_that_is_none_makes_no_day_number(of_day: str) -> None:
    assert told(f"timelapse-1_day003_{of_day}.jpg").day_number is None


@pytest.mark.parametrize("start", [date.max, date.min, date(1960, 1, 1)])
def test_a_start_that_leads_nowhere_gives_no_instant(start: date) -> None:
    assert day_instant(5, time(1, 2, 3), start, BERLIN) is None


def test_clocks_with_another_timezone_or_start_have_another_name() -> None:
    clocks = [
        Clock(timezone=ZULU),
        Clock(timezone=BERLIN),
        Clock(timezone=ZULU, start_date=date(2025, 4, 22)),
        Clock(timezone=ZULU, start_date=date(2025, 4, 23)),
    ]
    assert len({clock.name for clock in clocks}) == len(clocks)
