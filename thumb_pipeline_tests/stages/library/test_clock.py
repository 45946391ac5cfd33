"""What a clock that jumped may not decide: the note of it, the trash, orders of work, sweeps by the age of captures."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from thumb_pipeline.domain.removals import Operation
from thumb_pipeline.stages.library import clock
from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline.stages.removal import trash
from thumb_pipeline.stages.rendering import work_orders
from thumb_pipeline_tests.shifted_clock import clock_ahead
from thumb_pipeline_tests.stages.aging import (
    FUTURE_DAYS,
    let_days_pass,
    note_of,
    note_path,
    removed_at,
    removed_days_ago,
)
from thumb_pipeline_tests.stages.archives import Archive, run_id
from thumb_pipeline_tests.stages.removals import in_trash, planned, purged, restored, swept

pytestmark = pytest.mark.quick

RETENTION = "[policy.retention.small]\nkeep_days = 30"


def leased(archive: Archive) -> None:
    with archive.library.lease():
        pass


# The note


def test_whoever_takes_a_lease_notes_the_clock_and_a_new_library_was_always_steady(archive: Archive) -> None:
    leased(archive)
    note = note_of(archive)
    assert note["at_s"] == pytest.approx(os.stat(note_path(archive)).st_mtime, abs=60)
    assert (note["steady_since_s"], note["jump_s"]) == (0, 0)
    assert isinstance(note["uptime_s"], float)
    assert note["boot_id"]


def test_a_note_is_renewed_once_an_hour_at_most_and_at_a_jump(archive: Archive) -> None:
    leased(archive)
    first = note_path(archive).stat().st_ino
    leased(archive)
    assert note_path(archive).stat().st_ino == first
    with clock_ahead(days=FUTURE_DAYS):
        leased(archive)
        assert note_of(archive)["jump_s"] == pytest.approx(FUTURE_DAYS * 86_400, abs=60)
        second = note_path(archive).stat().st_ino
        leased(archive)
        assert note_path(archive).stat().st_ino == second
    leased(archive)
    assert note_of(archive)["jump_s"] == pytest.approx(-FUTURE_DAYS * 86_400, abs=60)


def test_only_a_look_that_may_write_does(done: Archive) -> None:
    state, before = done.library.state, note_path(done).read_bytes()
    with clock_ahead(days=FUTURE_DAYS):
        clock.peek(state)
        planned(done, by_policy=True)
        trash.list_entries(done.library)
        assert note_path(done).read_bytes() == before
        clock.look(state)
        assert note_path(done).read_bytes() != before


def test_a_library_without_a_state_folder_gets_none_by_a_look_at_the_clock(archive: Archive) -> None:
    clock.look(archive.library.state)
    assert not os.path.exists(archive.library.state)


def test_a_library_of_an_earlier_version_counts_ages_from_the_first_look(done: Archive) -> None:
    purged(done)
    note_path(done).unlink()
    removed_days_ago(done, 30)
    assert trash.empty_expired(done.library) == []
    told = trash.reason_not_to_expire(done.library)
    assert told is not None
    assert "nothing is known of the clock before" in told
    let_days_pass(done, 7.01)
    assert len(trash.empty_expired(done.library)) == 1


HOSTILE = {
    "nothing": b"",
    "no JSON": b"\xff\xfe{",
    "another type": b"[1, 2, 3]",
    "a number": b"1e999",
    "deeply nested": b"[" * 4000,
    "nested objects": b'{"at_s":' * 400,
    "too long": b"{" + b" " * 100_000 + b"}",
    "many digits": b'{"at_s": ' + b"9" * 4000 + b"}",
    "unknown names": b'{"at_s": 1, "version": 7}',
}


def is_ignored(archive: Archive) -> None:
    """Asserts that nothing is deleted by its age, until the clock was steady for that age."""
    removed_days_ago(archive, 30)
    assert trash.empty_expired(archive.library) == []
    assert len(in_trash(archive)) == 4


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_note_of_any_content_is_as_good_as_none_and_is_written_anew(done: Archive, content: bytes) -> None:
    purged(done)
    note_path(done).write_bytes(content)
    is_ignored(done)
    assert note_of(done)["jump_s"] is None
    let_days_pass(done, 7.01)
    assert len(trash.empty_expired(done.library)) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"at_s": 1e30},
        {"at_s": 10**30},
        {"at_s": float("nan")},
        {"steady_since_s": float("-inf")},
        {"steady_since_s": "0"},
        {"steady_since_s": True},
        {"jump_s": []},
        {"boot_id": {}},
        {"uptime_s": -1},
        {"more": 1},
    ],
    ids=str,
)
def test_a_note_with_one_wrong_value_is_as_good_as_none(done: Archive, changed: dict[str, object]) -> None:
    purged(done)
    note_path(done).write_text(json.dumps({**note_of(done), **changed}))
    is_ignored(done)


@pytest.mark.parametrize("kind", ["folder", "link", "pipe"])
def test_what_is_no_file_is_no_note_and_keeps_nobody_waiting(done: Archive, kind: str, tmp_path: Path) -> None:
    purged(done)
    kept = note_path(done).read_bytes()
    note_path(done).unlink()
    if kind == "folder":
        (note_path(done) / "in").mkdir(parents=True)
    elif kind == "link":
        (tmp_path / "elsewhere").write_bytes(kept)
        note_path(done).symlink_to(tmp_path / "elsewhere")
    else:
        os.mkfifo(note_path(done))
    is_ignored(done)
    if kind == "link":
        assert (tmp_path / "elsewhere").read_bytes() == kept


# The trash


def test_a_clock_that_ran_ahead_empties_nothing_and_a_sweep_says_why(done: Archive) -> None:
    run_id = purged(done, variants=("small",)).run_id
    with clock_ahead(days=FUTURE_DAYS):
        found = purged(done, variants=("thumbnail",))
        assert found.trash_emptied == []
        assert found.trash_kept is not None
        assert "would have expired: the clock went ahead by 400 days since it was looked at last" in found.trash_kept
        assert f"to empty the trash now: thumb-pipeline trash --empty {run_id}" in found.trash_kept
        assert len(in_trash(done)) == 4
        [first, second] = trash.list_entries(done.library)
        assert first.expires_at is not None
        assert second.expires_at is not None
        assert abs(second.expires_at - first.expires_at) < timedelta(minutes=1)
    leased(done)
    assert trash.reason_not_to_expire(done.library) is None
    assert trash.empty_expired(done.library) == []
    assert restored(done, run_id).n_restored == 2


def test_after_a_clock_ran_ahead_the_trash_expires_when_it_was_steady_for_that_long(done: Archive) -> None:
    purged(done, variants=("small",))
    with clock_ahead(days=FUTURE_DAYS):
        purged(done, variants=("thumbnail",))
    leased(done)
    let_days_pass(done, 6.9)
    assert trash.empty_expired(done.library) == []
    let_days_pass(done, 0.2)
    assert len(trash.empty_expired(done.library)) == 2
    assert in_trash(done) == set()


def test_a_clock_that_went_ahead_and_stays_there_is_believed_after_a_while(done: Archive) -> None:
    purged(done)
    with clock_ahead(days=FUTURE_DAYS):
        leased(done)
        assert trash.empty_expired(done.library) == []
        let_days_pass(done, 7.01)
        assert len(trash.empty_expired(done.library)) == 1


def test_a_time_from_the_future_that_no_look_saw_coming_is_old_when_the_clock_was_steady_since_it_was_found(
    done: Archive,
) -> None:
    purged(done)
    removed_days_ago(done, -FUTURE_DAYS)
    assert trash.empty_expired(done.library) == []
    [entry] = trash.list_entries(done.library)
    assert entry.expires_at is not None
    assert entry.expires_at < entry.removed_at - timedelta(days=FUTURE_DAYS - 8)
    note = note_of(done)
    note["steady_since_s"] -= 7.01 * 86_400
    note_path(done).write_text(json.dumps(note))
    assert len(trash.empty_expired(done.library)) == 1


@pytest.mark.parametrize("year", [1, 1969, 9999])
def test_a_removal_of_any_year_is_listed_and_stays(done: Archive, year: int) -> None:
    purged(done)
    note_path(done).unlink()
    removed_at(done, lambda _: datetime(year, 12, 31, tzinfo=UTC))
    assert trash.empty_expired(done.library) == []
    assert (trash.reason_not_to_expire(done.library) is None) == (year == 9999)
    [entry] = trash.list_entries(done.library)
    assert entry.expires_at is not None
    assert timedelta(days=6) < entry.expires_at - datetime.now(UTC) < timedelta(days=8)


def test_entries_are_emptied_by_hand_whatever_the_clock_does(done: Archive) -> None:
    run_id = purged(done).run_id
    with clock_ahead(days=FUTURE_DAYS):
        assert [entry.run_id for entry in trash.empty(done.library, [run_id])] == [run_id]
    assert in_trash(done) == set()


def test_what_is_kept_for_no_time_goes_at_once_also_after_a_jump(done: Archive) -> None:
    purged(done)
    done.settings(more="[trash]\nkeep_days = 0.0")
    assert len(trash.empty_expired(done.library)) == 1


def test_a_removal_says_what_expired_meanwhile(done: Archive) -> None:
    first = purged(done, variants=("small",))
    let_days_pass(done, 7.01)
    second = purged(done, variants=("thumbnail",))
    [told] = second.trash_emptied
    assert told.startswith("the trash was emptied of 2 files (")
    assert f"of purge {first.run_id}, which had expired" in told
    assert second.trash_kept is None
    assert len(in_trash(done)) == 2


# Orders of work


def test_by_a_clock_that_ran_ahead_no_order_is_forgotten(done: Archive) -> None:
    work_orders.place(done.library, done.plan(force=True), run_id("waits"))
    with clock_ahead(days=FUTURE_DAYS):
        work_orders.place(done.library, done.plan(force=True), run_id("next"))
        assert {order.id for order in work_orders.list_placed(done.library)} == {run_id("waits"), run_id("next")}
    work_orders.place(done.library, done.plan(force=True), run_id("last"))
    assert {order.id for order in work_orders.list_placed(done.library)} == {
        run_id("waits"),
        run_id("next"),
        run_id("last"),
    }


# Sweeps by the age of captures


@pytest.fixture
def aged(archive: Archive) -> Archive:
    """Two frames of today with both of their variants, smalls of which are kept for thirty days."""
    archive.settings(more=RETENTION)
    archive.frame("a.jpg", color=1)
    archive.frame("b.jpg", color=2)
    archive.run()
    assert len(archive.variant_files()) == 4
    return archive


def test_a_clock_that_ran_ahead_makes_no_capture_too_old(aged: Archive) -> None:
    with clock_ahead(days=FUTURE_DAYS):
        plan = planned(aged, by_policy=True)
        assert plan.files.height == 2
        [objection] = plan.objections
        assert "this sweep would take 2 files for the age of their captures" in objection
        assert "the clock went ahead by 400 days" in objection
        assert "check the clock (date -u); if it is right, repeat with --force" in objection
        with pytest.raises(Refused, match="the clock went ahead"):
            swept(aged, by_policy=True)
        assert len(aged.variant_files()) == 4
        assert swept(aged).n_removed == 0
    assert aged.run().counts == {"unchanged": 4}


def test_the_objection_is_overruled_by_force_and_ends_after_a_week(aged: Archive) -> None:
    with clock_ahead(days=FUTURE_DAYS):
        assert swept(aged, by_policy=True, force=True).n_removed == 2
        aged.run()
        restored(aged, trash.list_entries(aged.library)[0].run_id)
        assert planned(aged, by_policy=True).is_refused
        let_days_pass(aged, 7.01)
        assert swept(aged, by_policy=True).n_removed == 2


def test_a_policy_that_asks_for_no_age_is_swept_by_any_clock(done: Archive) -> None:
    done.settings(more='[policy]\nvariants = ["thumbnail"]')
    with clock_ahead(days=FUTURE_DAYS):
        assert swept(done, by_policy=True).n_removed == 2


def test_a_library_whose_clock_nobody_watched_is_swept_by_age_after_a_week(aged: Archive) -> None:
    note_path(aged).unlink()
    aged.settings(more="[policy.retention.small]\nkeep_days = 1e-9")
    assert "nothing is known of the clock" in "".join(planned(aged, by_policy=True).objections)
    leased(aged)
    let_days_pass(aged, 7.01)
    assert swept(aged, by_policy=True).n_removed == 2


def test_a_purge_goes_by_no_age(aged: Archive) -> None:
    with clock_ahead(days=FUTURE_DAYS):
        assert planned(aged, Operation.PURGE).objections == []
