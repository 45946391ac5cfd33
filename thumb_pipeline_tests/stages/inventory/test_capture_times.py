"""What dates the sources of a timelapse, and the order they come in."""

import os
from datetime import UTC, datetime

import pytest

from thumb_pipeline.stages.inventory.capture_times import in_capture_order
from thumb_pipeline_tests.stages.archives import KEY, Archive, surveyed

pytestmark = pytest.mark.quick


def dates(archive: Archive) -> dict[str, tuple[datetime, str]]:
    columns = archive.inventory().select("source_name", "captured_at", "captured_at_basis")
    return {name: (instant, basis) for name, instant, basis in columns.iter_rows()}


NUMBERED = [f"timelapse-1_day{n:03d}_120000.jpg" for n in range(1, 6)]


def test_another_timezone_dates_known_sources_anew(archive: Archive) -> None:
    archive.frame("timelapse-1_20250422_143022.jpg")
    surveyed(archive)
    archive.settings(top='timezone = "Europe/Berlin"')
    found = surveyed(archive)
    assert found.changed.height == 1
    assert dates(archive) == {
        "timelapse-1_20250422_143022.jpg": (datetime(2025, 4, 22, 12, 30, 22, tzinfo=UTC), "name")
    }
    assert surveyed(archive).changed.height == 0


def test_a_start_date_dates_known_numbered_sources_anew(archive: Archive) -> None:
    archive.frame(NUMBERED[2])
    surveyed(archive)
    assert dates(archive)[NUMBERED[2]][1] == "mtime"
    archive.settings(more=f'[timelapses."{KEY}"]\nstart_date = 2025-04-22')
    surveyed(archive)
    assert dates(archive) == {NUMBERED[2]: (datetime(2025, 4, 24, 12, tzinfo=UTC), "day_number")}


def test_exif_of_some_numbered_frames_dates_the_others(archive: Archive) -> None:
    archive.frame(NUMBERED[0])
    archive.frame(NUMBERED[1], exif="2025:04:23 12:00:05")
    archive.frame(NUMBERED[4])
    archive.run()
    assert dates(archive) == {
        NUMBERED[0]: (datetime(2025, 4, 22, 12, tzinfo=UTC), "day_number"),
        NUMBERED[1]: (datetime(2025, 4, 23, 12, 0, 5, tzinfo=UTC), "exif"),
        NUMBERED[4]: (datetime(2025, 4, 26, 12, tzinfo=UTC), "day_number"),
    }


def test_a_later_numbered_frame_stays_dated_by_its_neighbours_when_it_is_rendered(archive: Archive) -> None:
    archive.frame(NUMBERED[1], exif="2025:04:23 12:00:00")
    archive.run()
    archive.frame(NUMBERED[2])
    archive.run()
    assert dates(archive)[NUMBERED[2]] == (datetime(2025, 4, 24, 12, tzinfo=UTC), "day_number")


def test_a_day_number_beyond_all_dates_dates_no_other_frame_and_stops_none(archive: Archive) -> None:
    archive.frame("timelapse-1_day800000_120000.jpg", exif="2025:04:23 12:00:00")
    assert archive.run().counts == {"rendered": 2}
    archive.frame(NUMBERED[0])
    archive.frame(NUMBERED[1], exif="2025:04:23 12:00:00")
    assert archive.run().counts == {"rendered": 4, "unchanged": 2}
    assert dates(archive)[NUMBERED[0]] == (datetime(2025, 4, 22, 12, tzinfo=UTC), "day_number")


def test_most_frames_outvote_one_whose_clock_was_wrong_in_whatever_order_they_come(archive: Archive) -> None:
    archive.frame(NUMBERED[0], exif="2001:01:01 12:00:00")
    archive.frame(NUMBERED[4])
    archive.run()
    assert dates(archive)[NUMBERED[4]][0].year == 2001
    archive.frame(NUMBERED[1], exif="2025:04:23 12:00:00")
    archive.frame(NUMBERED[2], exif="2025:04:24 12:00:00")
    archive.run()
    assert dates(archive)[NUMBERED[4]] == (datetime(2025, 4, 26, 12, tzinfo=UTC), "day_number")


def test_another_timezone_implies_the_same_start_date(archive: Archive) -> None:
    archive.frame(NUMBERED[0], exif="2025:04:22 23:30:00")
    archive.frame(NUMBERED[1])
    archive.run()
    archive.settings(top='timezone = "Europe/Berlin"')
    surveyed(archive)
    assert dates(archive) == {
        NUMBERED[0]: (datetime(2025, 4, 22, 21, 30, tzinfo=UTC), "exif"),
        NUMBERED[1]: (datetime(2025, 4, 23, 10, tzinfo=UTC), "day_number"),
    }


def test_exif_dates_a_source_whose_name_tells_nothing_once_it_was_opened(archive: Archive) -> None:
    path = archive.frame("IMG_0012.JPG", exif="2025:04:22 14:30:22")
    surveyed(archive)
    mtime = datetime.fromtimestamp(os.stat(path).st_mtime_ns // 1000 / 1_000_000, UTC)
    assert dates(archive)["IMG_0012.JPG"] == (mtime, "mtime")
    archive.run()
    assert dates(archive)["IMG_0012.JPG"] == (datetime(2025, 4, 22, 14, 30, 22, tzinfo=UTC), "exif")


@pytest.mark.parametrize("exif", [None, "2030:01:01 00:00:00"])
def test_numbered_frames_are_in_the_order_of_day_and_time_regardless(archive: Archive, exif: str | None) -> None:
    named = ["x_day010_000000.jpg", "x_day002_235959.jpg", "x_day002_000000.jpg", "x_day1000_000000.jpg"]
    for number, name in enumerate(named):
        os.utime(archive.frame(name, exif=exif if number == 1 else None), (0, 1_700_000_000 - number))
    archive.run()
    ordered = in_capture_order(archive.inventory().lazy()).collect()["source_name"].to_list()
    assert ordered == ["x_day002_000000.jpg", "x_day002_235959.jpg", "x_day010_000000.jpg", "x_day1000_000000.jpg"]
