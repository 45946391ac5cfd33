"""What a survey makes of a folder: settled, pending, changed, vanished, dated, believed."""

import os
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from thumb_pipeline.stages.inventory.listing import discover, list_sources
from thumb_pipeline.stages.inventory.survey import accept, survey
from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline.storage.folders import ArchiveUnavailable
from thumb_pipeline_tests.stages.archives import KEY, SETTLE_S, Archive, survey_only, surveyed, touch

pytestmark = pytest.mark.quick


def state_of(archive: Archive, name: str = "a.bmp") -> str:
    (state,) = archive.inventory().filter(pl.col("source_name") == name)["state"]
    return str(state)


def seconds(archive: Archive) -> float:
    started = time.monotonic()
    surveyed(archive)
    return time.monotonic() - started


def unmarked(archive: Archive, name: str = "a.bmp", n_bytes: int = 500) -> Path:
    """A file whose end cannot be told from its bytes."""
    return archive.other(name, b"BM" + bytes(n_bytes))


def test_a_row_says_what_the_listing_said(archive: Archive) -> None:
    path = archive.frame("timelapse-1_20250422_143022.jpg")
    before = datetime.now(UTC)
    surveyed(archive)
    (row,) = archive.inventory().to_dicts()
    status = os.stat(path)
    assert (row["timelapse"], row["source_name"]) == (KEY, path.name)
    assert (row["n_bytes"], row["mtime_ns"], row["state"]) == (status.st_size, status.st_mtime_ns, "settled")
    assert (row["captured_at"], row["captured_at_basis"]) == (datetime(2025, 4, 22, 14, 30, 22, tzinfo=UTC), "name")
    assert before <= row["first_seen_at"] <= datetime.now(UTC)
    assert row["digest"] is None


def test_a_survey_alone_writes_nothing(archive: Archive) -> None:
    archive.frame("a.jpg")
    survey_only(archive)
    assert archive.inventory().height == 0


def test_a_file_with_its_end_marker_settles_at_once(archive: Archive) -> None:
    archive.settings(settle_s="30")
    archive.frame("a.jpg")
    assert seconds(archive) < 5
    assert state_of(archive, "a.jpg") == "settled"


def test_a_file_without_one_settles_after_standing_still_for_the_interval(archive: Archive) -> None:
    unmarked(archive)
    assert seconds(archive) >= SETTLE_S
    assert state_of(archive) == "settled"


def test_known_files_cost_no_wait(archive: Archive) -> None:
    unmarked(archive)
    surveyed(archive)
    archive.settings(settle_s="30")
    assert seconds(archive) < 5


def test_a_future_mtime_is_not_pending(archive: Archive) -> None:
    path = unmarked(archive)
    touch(path, 100_000_000)
    surveyed(archive)
    assert state_of(archive) == "settled"


def test_an_mtime_that_no_table_holds_is_a_source_all_the_same(archive: Archive) -> None:
    path = archive.frame("a.jpg")
    os.utime(path, ns=(0, 2**63 + 10**9))
    assert archive.run().counts == {"rendered": 2}
    assert archive.run().counts == {"unchanged": 2}


class SlowWriter:
    """Appends to a file until it is told to stop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _write(self) -> None:
        while not self._stop.wait(0.01):
            with self._path.open("ab") as file:
                file.write(b"x" * 100)


def test_a_file_that_is_being_written_is_pending_and_settles_later(archive: Archive) -> None:
    path = unmarked(archive)
    with SlowWriter(path):
        surveyed(archive)
        assert state_of(archive) == "pending"
        assert archive.run().counts == {"pending": 1}
    surveyed(archive)
    assert state_of(archive) == "settled"


def test_a_pending_file_settles_without_a_wait_once_the_interval_has_passed(archive: Archive) -> None:
    archive.settings(settle_s="1.0")
    path = unmarked(archive)
    with SlowWriter(path):
        surveyed(archive)
    os.truncate(path, archive.inventory()["n_bytes"].item())
    os.utime(path, ns=(0, archive.inventory()["mtime_ns"].item()))
    time.sleep(1.0)
    assert seconds(archive) < 0.9
    assert state_of(archive) == "settled"


def test_a_pending_file_does_not_settle_by_two_looks_in_quick_succession(archive: Archive) -> None:
    archive.settings(settle_s="0.4")
    path = unmarked(archive)
    with SlowWriter(path):
        surveyed(archive)
    os.truncate(path, archive.inventory()["n_bytes"].item())
    os.utime(path, ns=(0, archive.inventory()["mtime_ns"].item()))
    assert seconds(archive) >= 0.4


def test_a_file_that_vanishes_while_it_settles_is_no_source(archive: Archive) -> None:
    path = unmarked(archive)
    unmarked(archive, "b.bmp")
    listing = list_sources(archive.library, KEY)
    path.unlink()
    found = survey(archive.library, [listing])
    assert found.sources["source_name"].to_list() == ["b.bmp"]


def test_a_changed_file_keeps_its_first_sight_and_forgets_what_was_learned(archive: Archive) -> None:
    archive.frame("a.jpg")
    archive.run()
    before = archive.inventory().to_dicts()[0]
    assert (before["format"], before["width_px"], before["height_px"]) == ("JPEG", 64, 48)
    archive.frame("a.jpg", size=(60, 20))
    surveyed(archive)
    after = archive.inventory().to_dicts()[0]
    assert after["first_seen_at"] == before["first_seen_at"]
    assert (after["digest"], after["format"], after["width_px"]) == (None, None, None)


def test_what_was_learned_outlives_a_survey_that_began_before_it(archive: Archive) -> None:
    archive.frame("a.jpg")
    late = survey_only(archive)
    archive.run()
    learned = archive.inventory()
    accept(archive.library, late)
    assert archive.inventory().drop("first_seen_at").equals(learned.drop("first_seen_at"))


def test_a_vanished_file_is_found_to_be_gone_and_taken_out(archive: Archive) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        archive.frame(name)
    surveyed(archive)
    archive.path("b.jpg").unlink()
    found = surveyed(archive)
    assert found.vanished.rows() == [(KEY, "b.jpg")]
    assert found.sources["source_name"].sort().to_list() == ["a.jpg", "c.jpg"]
    assert archive.inventory()["source_name"].to_list() == ["a.jpg", "c.jpg"]


def fill(archive: Archive, count: int) -> None:
    first = archive.frame("000.jpg")
    for n in range(1, count):
        os.link(first, archive.path(f"{n:03d}.jpg"))
    surveyed(archive)


def lose(archive: Archive, count: int) -> None:
    for n in range(count):
        archive.path(f"{n:03d}.jpg").unlink()


@pytest.mark.parametrize(
    ("n_known", "n_lost", "is_believed"),
    [
        (3, 1, True),
        (3, 2, True),
        (3, 3, False),
        (1, 1, False),
        (20, 4, True),  # a fifth, and fewer than five
        (20, 5, False),
        (50, 5, True),  # a tenth is not more than a tenth
        (49, 5, False),
        (60, 6, True),
        (60, 7, False),
    ],
)
def test_a_listing_that_lost_too_much_is_not_believed(
    archive: Archive, n_known: int, n_lost: int, is_believed: bool
) -> None:
    fill(archive, n_known)
    lose(archive, n_lost)
    found = survey_only(archive)
    assert [(s.timelapse, s.n_known, s.n_found) for s in found.shrunken] == (
        [] if is_believed else [(KEY, n_known, n_known - n_lost)]
    )


def test_limits_of_belief_can_be_set(archive: Archive) -> None:
    archive.settings(top="[brakes]\nmax_shrink_ratio = 0.5\nmin_shrink_sources = 2")
    fill(archive, 10)
    lose(archive, 5)
    assert survey_only(archive).shrunken == []
    archive.path("009.jpg").unlink()
    assert len(survey_only(archive).shrunken) == 1


def test_an_emptied_archive_stops_a_plan_and_changes_nothing(archive: Archive) -> None:
    fill(archive, 3)
    archive.frames().rename(archive.root / "unmounted")
    before = archive.inventory()
    with pytest.raises(Refused, match=r"3 sources recorded, 0 found\n.*--accept-shrink"):
        archive.run()
    assert archive.inventory().equals(before)


def test_a_vanished_timelapse_folder_stops_a_plan(archive: Archive) -> None:
    fill(archive, 3)
    (archive.root / "cameras" / "camera-1").rename(archive.root / "unmounted")
    with pytest.raises(Refused, match="check that the disk is mounted"):
        archive.run()


def test_renamed_frames_are_no_shrinkage(archive: Archive) -> None:
    for number in range(8):
        archive.frame(f"IMG_{number}.jpg")
    archive.run()
    for path in sorted(archive.frames().iterdir()):
        path.rename(path.with_name("renamed_" + path.name))
    assert survey_only(archive).shrunken == []


def test_a_shrunken_archive_is_believed_when_accepted(archive: Archive) -> None:
    fill(archive, 3)
    lose(archive, 3)
    archive.run(accept_shrink=True)
    assert archive.inventory().height == 0
    assert archive.run().counts == {}


def test_named_sources_of_an_emptied_archive_are_not_believed_to_be_gone(archive: Archive) -> None:
    fill(archive, 3)
    archive.frames().rename(archive.root / "unmounted")
    archive.frames().mkdir()
    with pytest.raises(Refused, match="3 sources recorded, 0 found"):
        archive.run(sources=("000.jpg",))
    assert archive.inventory().height == 3


def test_a_named_source_among_others_is_believed_to_be_gone(archive: Archive) -> None:
    fill(archive, 3)
    lose(archive, 1)
    archive.run(sources=("000.jpg",))
    assert archive.inventory().height == 2


def test_a_survey_of_names_leaves_all_others_alone(archive: Archive) -> None:
    fill(archive, 3)
    archive.frame("001.jpg", size=(60, 20))
    archive.path("002.jpg").unlink()
    found = surveyed(archive, only=["001.jpg"])
    assert found.sources["source_name"].to_list() == ["001.jpg"]
    assert archive.inventory().height == 3


def test_an_unreadable_folder_is_unavailable(archive: Archive) -> None:
    archive.frames().rmdir()
    archive.frames().write_bytes(b"")
    with pytest.raises(ArchiveUnavailable):
        list_sources(archive.library, KEY)


def test_folders_that_match_no_pattern_are_reported(archive: Archive) -> None:
    for folder in ("camera-2/timelapse-1", "camera-2/frames", "camera-2/timelapse-é", "Camera 3", "camera-4"):
        (archive.root / "cameras" / folder).mkdir(parents=True)
    (archive.root / "cameras" / "notes.txt").write_text("")
    found = discover(archive.library)
    assert found.keys == [KEY, "camera-2/timelapse-1"]
    assert found.vanished == []
    assert sorted(found.unmatched) == ["cameras/Camera 3", "cameras/camera-2/frames", "cameras/camera-2/timelapse-é"]


def test_a_library_without_cameras_is_empty(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "library")
    archive.frames().rmdir()
    archive.frames().parent.rmdir()
    for folder in ("cameras/camera-1", "cameras"):
        (archive.root / folder).rmdir()
    assert discover(archive.library).keys == []
    assert archive.run().counts == {}


def test_cameras_that_lead_to_a_disk_that_is_not_there_are_unavailable(archive: Archive) -> None:
    (archive.root / "cameras").rename(archive.root / "disk")
    (archive.root / "cameras").symlink_to(archive.root / "not mounted")
    with pytest.raises(ArchiveUnavailable):
        archive.run()


def test_a_link_to_a_camera_on_another_disk_is_followed(archive: Archive) -> None:
    archive.frame("a.jpg")
    (archive.root / "cameras" / "camera-1").rename(archive.root / "disk")
    (archive.root / "cameras" / "camera-1").symlink_to(archive.root / "disk")
    assert archive.run().counts == {"rendered": 2}


def test_hidden_and_unfinished_names_are_left_out_and_counted(archive: Archive) -> None:
    archive.frame("a.jpg")
    for name in (".hidden.jpg", "b.jpg.part", "c.TMP", "d.jpg~", ".tp-abcd-1-1"):
        archive.other(name, b"x")
    found = surveyed(archive)
    assert found.sources["source_name"].to_list() == ["a.jpg"]
    assert found.n_left_out == 5


def test_links_and_folders_among_frames_are_reported(archive: Archive) -> None:
    archive.frame("a.jpg")
    archive.path("link.jpg").symlink_to(archive.path("a.jpg"))
    archive.path("folder.jpg").mkdir()
    archive.path(".hidden").mkdir()
    found = surveyed(archive)
    assert found.sources["source_name"].to_list() == ["a.jpg"]
    assert sorted(found.others) == [f"{KEY}/folder.jpg", f"{KEY}/link.jpg"]


def test_every_regular_file_is_a_source_whatever_its_name(archive: Archive) -> None:
    for name in (b"notes.txt", b"\xff\xfe.jpg", b"50%.jpg", b"a\n.jpg"):
        archive.other(name, b"x")
    found = surveyed(archive)
    assert sorted(found.sources["source_name"]) == ["%FF%FE.jpg", "50%25.jpg", "a%0A.jpg", "notes.txt"]


def test_a_source_that_vanished_while_the_clock_changed_is_gone(archive: Archive) -> None:
    for name in ("a.jpg", "b.jpg"):
        archive.frame(name)
    surveyed(archive)
    archive.path("b.jpg").unlink()
    archive.settings(top='timezone = "Europe/Berlin"')
    found = surveyed(archive)
    assert found.sources["source_name"].to_list() == ["a.jpg"]
    assert archive.inventory()["source_name"].to_list() == ["a.jpg"]


def test_several_timelapses_are_surveyed_at_once_and_kept_apart(archive: Archive) -> None:
    other = "camera-2/timelapse-7"
    archive.frame("a.jpg")
    archive.frame("a.jpg", key=other, size=(60, 20))
    found = surveyed(archive, keys=[KEY, other])
    assert found.sources.select("timelapse", "source_name").sort("timelapse").rows() == [
        (KEY, "a.jpg"),
        (other, "a.jpg"),
    ]
    archive.frame("b.jpg", key=other)
    again = surveyed(archive, keys=[KEY, other])
    assert again.changed.select("timelapse", "source_name").rows() == [(other, "b.jpg")]


def test_a_picture_in_a_format_without_an_end_marker_is_rendered_after_one_wait(archive: Archive) -> None:
    Image.new("RGB", (40, 30)).save(archive.path("a.bmp"))
    Image.new("RGB", (40, 30)).save(archive.path("a.gif"))
    assert archive.run().counts == {"rendered": 4}
