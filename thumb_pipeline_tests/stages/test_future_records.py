"""Records that a clock that ran ahead has dated: believed about the picture, and not about time."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from thumb_pipeline.stages.captures.memory import Mark, RefusedSource, read_marks, write_marks
from thumb_pipeline.stages.captures.watch import Watch
from thumb_pipeline.stages.rendering import retries
from thumb_pipeline.stages.verification import health, verdicts
from thumb_pipeline.stages.verification.rolling import Budget, roll
from thumb_pipeline.stages.verification.verify import verify
from thumb_pipeline_tests.shifted_clock import clock_ahead
from thumb_pipeline_tests.stages.aging import FUTURE_DAYS
from thumb_pipeline_tests.stages.archives import KEY, Archive
from thumb_pipeline_tests.stages.planning.test_policy import FIRST, LATEST_ONLY, SECOND, small_of, smalls
from thumb_pipeline_tests.stages.rendering.test_retries import try_in_vain

pytestmark = pytest.mark.quick


@pytest.fixture
def written_ahead(archive: Archive) -> Archive:
    """A library whose two sources and four variants were recorded in the future."""
    archive.frame("a.jpg", color=1)
    archive.frame("b.jpg", color=2)
    with clock_ahead(days=FUTURE_DAYS):
        archive.run()
        verified(archive)
    return archive


def verified(archive: Archive, *, deep: bool = False) -> None:
    library = archive.library
    with library.lease() as lease:
        for part in verify(library, [KEY], lease, deep=deep):
            verdicts.keep(library, part)


def red(archive: Archive, *, later_h: float = 0) -> set[str]:
    library = archive.library
    now = datetime.now(UTC) + timedelta(hours=later_h)
    return {
        answer.question.value
        for answer in health.answer(library, health.read_verdicts(library), now)
        if not answer.passed
    }


def is_ahead(rows: pl.DataFrame, column: str) -> list[bool]:
    return (rows[column] > datetime.now(UTC) + timedelta(days=1)).to_list()


# generate


def test_what_was_rendered_in_the_future_is_right_and_is_left_alone(written_ahead: Archive) -> None:
    assert is_ahead(written_ahead.manifest(), "recorded_at") == [True] * 4
    assert written_ahead.run().counts == {"unchanged": 4}


def test_generate_alone_puts_right_what_was_lost_and_what_is_wrong(written_ahead: Archive) -> None:
    written_ahead.variant("a.jpg").unlink()
    written_ahead.variant("b.jpg", "thumbnail").write_bytes(b"corrupt")
    assert written_ahead.run().counts == {"rendered": 2, "unchanged": 2}
    assert written_ahead.run(force=True).counts == {"rendered": 4}
    assert is_ahead(written_ahead.manifest(), "recorded_at") == [False] * 4


def test_a_source_that_was_first_seen_in_the_future_grows_older_from_the_next_generate_on(
    written_ahead: Archive,
) -> None:
    before = written_ahead.inventory()
    assert is_ahead(before, "first_seen_at") == [True, True]
    written_ahead.run()
    after = written_ahead.inventory()
    assert is_ahead(after, "first_seen_at") == is_ahead(after, "looked_at") == [False, False]
    assert after.drop("first_seen_at", "looked_at").equals(before.drop("first_seen_at", "looked_at"))
    written_ahead.run()
    assert written_ahead.inventory().equals(after)


def test_a_frame_from_the_future_that_was_seen_in_the_future_is_the_newest_for_a_day_and_no_longer(
    archive: Archive,
) -> None:
    archive.settings(more=LATEST_ONLY)
    ahead = f"timelapse-1_{datetime.now(UTC) + timedelta(days=300):%Y%m%d_%H%M%S}.jpg"
    archive.frame(ahead)
    with clock_ahead(days=FUTURE_DAYS):
        archive.run()
    archive.frame(FIRST)
    archive.run()
    assert smalls(archive) == {small_of(ahead)}
    a_day_ago = archive.inventory().with_columns(pl.col("first_seen_at") - timedelta(hours=25))
    archive.library.inventory.merge(KEY, a_day_ago)
    archive.frame(f"timelapse-1_{datetime.now(UTC):%Y%m%d_%H%M%S}.jpg")
    archive.run()
    assert small_of(ahead) not in smalls(archive)


def test_a_source_that_was_being_written_in_the_future_settles_in_the_present(archive: Archive) -> None:
    archive.other("a.bmp", b"BM" + bytes(500))
    with clock_ahead(days=FUTURE_DAYS):
        archive.run()
    pending = archive.inventory().with_columns(state=pl.lit("pending"))
    archive.library.inventory.merge(KEY, pending)
    archive.run()
    assert archive.inventory()["state"].to_list() == ["settled"]


def test_the_newest_capture_is_told_by_captures_and_not_by_when_they_were_seen(archive: Archive) -> None:
    archive.settings(more=LATEST_ONLY)
    archive.frame(FIRST)
    with clock_ahead(days=FUTURE_DAYS):
        archive.run()
    archive.frame(SECOND)
    archive.run()
    assert smalls(archive) == {small_of(SECOND)}


# Refusals


def test_a_retry_that_is_due_later_than_any_delay_is_due_now(archive: Archive) -> None:
    archive.frame("a.jpg")
    with clock_ahead(days=FUTURE_DAYS):
        try_in_vain(archive)
        assert archive.run().counts == {"failed": 1}
    assert archive.run().by_reason == {"retry": 2}


def test_a_retry_that_is_due_within_its_delay_waits_for_it(archive: Archive) -> None:
    archive.frame("a.jpg")
    try_in_vain(archive)
    assert archive.run().counts == {"failed": 1}


def test_a_watcher_comes_back_at_once_for_a_retry_from_the_future(archive: Archive) -> None:
    archive.frame("a.jpg")
    with clock_ahead(days=FUTURE_DAYS):
        try_in_vain(archive)
        assert retries.read_due_s(archive.library, KEY) > datetime.now(UTC).timestamp()
    assert retries.read_due_s(archive.library, KEY) == 0.0
    watch = Watch.begin(archive.library, set)
    watch.look(archive.library)
    assert watch.backlog[KEY] == ["a.jpg"]


def test_a_watcher_that_saw_the_clock_go_back_asks_again_within_its_life(archive: Archive) -> None:
    archive.frame("a.jpg")
    with clock_ahead(days=FUTURE_DAYS):
        try_in_vain(archive)
        watch = Watch.begin(archive.library, set)
        watch.look(archive.library)
        watch.take(10)
    watch.look(archive.library)
    assert watch.backlog[KEY] == ["a.jpg"]


def test_what_a_watcher_saw_fail_in_the_future_failed_just_now(archive: Archive) -> None:
    status = archive.other("a.jpg", b"no picture at all").stat()
    ahead_s = (datetime.now(UTC) + timedelta(days=FUTURE_DAYS)).timestamp()
    failed = RefusedSource(name="a.jpg", n_bytes=status.st_size, mtime_ns=status.st_mtime_ns, refused_at_s=ahead_s)
    mark = Mark(mtime_ns=archive.frames().stat().st_mtime_ns, refused=(failed,))
    write_marks(archive.library, {KEY: mark})
    Watch.begin(archive.library, set).look(archive.library)
    (now_s,) = [one.refused_at_s for one in read_marks(archive.library)[KEY].refused]
    assert now_s == pytest.approx(datetime.now(UTC).timestamp(), abs=60)


# Verification


def test_a_verification_from_the_future_answers_no_question_until_it_is_repeated(written_ahead: Archive) -> None:
    assert "freshness" in red(written_ahead)
    assert red(written_ahead) == red(written_ahead, later_h=24 * 30)
    verified(written_ahead)
    assert red(written_ahead) == set()


def test_a_capture_that_waits_is_late_though_its_timelapse_was_verified_in_the_future(archive: Archive) -> None:
    archive.frame(FIRST)
    archive.run()
    archive.frame(SECOND)
    with clock_ahead(days=FUTURE_DAYS):
        verified(archive)
    verified(archive)
    assert {"complete", "freshness"} <= red(archive)


def test_the_rolling_verification_passes_over_nothing_that_was_looked_at_in_the_future(archive: Archive) -> None:
    for number in range(3):
        archive.frame(f"{number}.jpg", color=number)
    archive.run()
    library, one = archive.library, Budget(n_bytes=1, seconds=600.0)
    with clock_ahead(days=FUTURE_DAYS), library.lease() as lease:
        roll(library, lease, budget=one)
    assert is_ahead(library.checked.read([KEY]), "checked_at") == [True]
    for _ in range(3):
        with library.lease() as lease:
            roll(library, lease, budget=one)
    checked = library.checked.read([KEY])
    assert set(checked["source_name"]) == {"0.jpg", "1.jpg", "2.jpg"}
    assert is_ahead(checked, "checked_at") == [False] * 3


def test_damage_that_was_found_in_the_future_is_put_right_by_generate(archive: Archive) -> None:
    archive.frame(FIRST, size=(300, 200))
    archive.run()
    whole = archive.variant(FIRST).read_bytes()
    status = archive.variant(FIRST).stat()
    archive.variant(FIRST).write_bytes(whole[:-40] + bytes([whole[-40] ^ 1]) + whole[-39:])
    os.utime(archive.variant(FIRST), ns=(status.st_atime_ns, status.st_mtime_ns))
    with clock_ahead(days=FUTURE_DAYS):
        verified(archive, deep=True)
    assert is_ahead(archive.library.damage.read([KEY]), "found_at") == [True]
    assert archive.run().counts == {"rendered": 1, "unchanged": 1}
    assert archive.variant(FIRST).read_bytes() == whole
    assert archive.library.damage.read([KEY]).is_empty()


def test_nothing_that_a_clock_ahead_has_made_is_an_orphan_or_missing_for_a_later_one(written_ahead: Archive) -> None:
    verified(written_ahead, deep=True)
    assert red(written_ahead) == set()
    assert not Path(written_ahead.library.trash).exists()
