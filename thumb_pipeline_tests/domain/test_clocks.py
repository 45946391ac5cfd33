"""Which steps of a clock are plausible, and from when on ages count after one that is not."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thumb_pipeline.domain.clocks import Ages, ClockNote, Reading, first_note, jump_s, moment, next_note

pytestmark = pytest.mark.quick

HOUR, DAY = 3600.0, 86_400.0
NOW_S = 1_796_000_000.0
UP_S = 100 * DAY
BOOT = "9d1f0a52-0000-4000-8000-000000000000"
READ = Reading(at_s=NOW_S, uptime_s=UP_S, boot_id=BOOT)
NOTE = first_note(READ, is_new=True)
KEEP = timedelta(days=7)


def later(step_s: float, *, passed_s: float | None = None, boot_id: str = BOOT) -> Reading:
    """A reading after a step of the wall clock, while that much time really passed."""
    return Reading(at_s=NOW_S + step_s, uptime_s=UP_S + (step_s if passed_s is None else passed_s), boot_id=boot_id)


def restarted(step_s: float, *, uptime_s: float) -> Reading:
    return Reading(at_s=NOW_S + step_s, uptime_s=uptime_s, boot_id="another")


def ages(note: ClockNote, at_s: float) -> Ages:
    return Ages(now=moment(at_s), note=note)


@pytest.mark.parametrize(
    ("step_s", "passed_s"),
    [(0, 0), (60, 60), (-200, 0), (DAY, DAY), (90 * DAY, 90 * DAY), (DAY + 0.9 * HOUR, DAY), (DAY, DAY + 0.9 * HOUR)],
)
def test_a_step_that_the_uptime_bears_out_is_plausible(step_s: float, passed_s: float) -> None:
    assert jump_s(NOTE, later(step_s, passed_s=passed_s)) == 0


@pytest.mark.parametrize(
    ("step_s", "passed_s"),
    [(400 * DAY, 60), (-400 * DAY, 60), (8 * DAY, 7 * DAY), (2 * HOUR, 0), (-600, 0), (DAY, DAY + 2 * HOUR)],
)
def test_a_step_that_the_uptime_belies_is_a_jump_of_the_difference(step_s: float, passed_s: float) -> None:
    assert jump_s(NOTE, later(step_s, passed_s=passed_s)) == step_s - passed_s


@pytest.mark.parametrize(
    ("step_s", "uptime_s"), [(60, 30), (2 * DAY, 30), (20 * DAY, 19 * DAY), (-100, 20), (30 * DAY, 30 * DAY - 60)]
)
def test_a_machine_may_have_been_off_for_a_long_weekend(step_s: float, uptime_s: float) -> None:
    assert jump_s(NOTE, restarted(step_s, uptime_s=uptime_s)) == 0


@pytest.mark.parametrize(
    ("step_s", "uptime_s"), [(400 * DAY, 30), (4 * DAY, 30), (-400 * DAY, 30), (20 * DAY, 10 * DAY), (DAY, 5 * DAY)]
)
def test_a_restart_explains_no_more_than_that(step_s: float, uptime_s: float) -> None:
    assert jump_s(NOTE, restarted(step_s, uptime_s=uptime_s)) == step_s - uptime_s


def test_without_an_uptime_a_step_of_a_long_weekend_is_plausible_and_no_longer_one() -> None:
    note = first_note(Reading(at_s=NOW_S), is_new=True)
    assert jump_s(note, Reading(at_s=NOW_S + 2 * DAY)) == 0
    assert jump_s(note, Reading(at_s=NOW_S - 60)) == 0
    assert jump_s(note, Reading(at_s=NOW_S + 4 * DAY)) == 4 * DAY
    assert jump_s(note, Reading(at_s=NOW_S - 600)) == -600


def test_a_clock_that_the_network_sets_right_after_the_start_did_not_jump() -> None:
    just_started = replace(NOTE, uptime_s=20.0)
    eight_hours = Reading(at_s=NOW_S + 8 * HOUR, uptime_s=50.0, boot_id=BOOT)
    assert jump_s(just_started, eight_hours) == 0
    assert jump_s(just_started, replace(eight_hours, at_s=NOW_S + 4 * DAY)) == 4 * DAY - 30
    assert jump_s(replace(NOTE, uptime_s=2 * HOUR), replace(eight_hours, uptime_s=2 * HOUR + 30)) == 8 * HOUR - 30


def test_a_container_that_is_started_anew_under_its_hosts_name_counts_as_restarted() -> None:
    assert jump_s(NOTE, Reading(at_s=NOW_S + DAY, uptime_s=60.0, boot_id=BOOT)) == 0
    assert jump_s(NOTE, Reading(at_s=NOW_S + 9 * DAY, uptime_s=60.0, boot_id=BOOT)) == 9 * DAY - 60


def test_a_jump_is_remembered_until_the_next_one() -> None:
    jumped = next_note(NOTE, later(400 * DAY, passed_s=60))
    assert (jumped.steady_since_s, jumped.jump_s, jumped.before_jump_s) == (NOW_S + 400 * DAY, 400 * DAY - 60, NOW_S)
    calm = next_note(jumped, Reading(at_s=NOW_S + 401 * DAY, uptime_s=UP_S + 60 + DAY, boot_id=BOOT))
    assert replace(calm, at_s=jumped.at_s, uptime_s=jumped.uptime_s) == jumped
    back = next_note(calm, Reading(at_s=NOW_S + 2 * DAY, uptime_s=UP_S + 60 + 2 * DAY, boot_id=BOOT))
    assert back.steady_since_s == NOW_S + 2 * DAY
    assert back.jump_s is not None
    assert back.jump_s < -398 * DAY
    assert back.ahead_s == NOW_S + 401 * DAY


# Ages


def test_in_a_new_library_whose_clock_never_jumped_age_is_age() -> None:
    assert ages(NOTE, NOW_S).is_past(moment(NOW_S - 7 * DAY), KEEP)
    assert not ages(NOTE, NOW_S).is_past(moment(NOW_S - 7 * DAY + 1), KEEP)
    assert not ages(NOTE, NOW_S).is_troubled


def test_in_a_library_that_nobody_watched_ages_count_from_the_first_look() -> None:
    note = first_note(READ, is_new=False)
    old = moment(NOW_S - 100 * DAY)
    assert ages(note, NOW_S).is_troubled
    assert not ages(note, NOW_S + 7 * DAY - 1).is_past(old, KEEP)
    assert ages(note, NOW_S + 7 * DAY).is_past(old, KEEP)
    assert not ages(note, NOW_S + 7 * DAY).is_troubled


def test_after_a_jump_ahead_nothing_is_old() -> None:
    note = next_note(NOTE, later(400 * DAY, passed_s=60))
    after_s = note.at_s
    assert not ages(note, after_s).is_past(moment(NOW_S), KEEP)
    assert ages(note, after_s).is_past(moment(NOW_S), timedelta())
    assert ages(note, after_s + 7 * DAY).is_past(moment(NOW_S), KEEP)
    assert "the clock went ahead by 400 days" in ages(note, after_s).trouble


def test_after_the_clock_was_set_back_what_bears_a_time_from_the_future_is_as_old_as_that() -> None:
    ahead = next_note(NOTE, later(400 * DAY, passed_s=60))
    back = next_note(ahead, later(120, passed_s=120))
    stamp = moment(NOW_S + 400 * DAY + 30)
    assert back.steady_since_s == NOW_S + 120
    assert not ages(back, NOW_S + 7 * DAY).is_past(stamp, KEEP)
    assert ages(back, NOW_S + 7 * DAY + 120).is_past(stamp, KEEP)
    assert "the clock went back by 400 days" in ages(back, NOW_S + 120).trouble


def test_a_stamp_from_the_future_that_no_jump_accounts_for_is_not_old_however_long_the_clock_was_steady() -> None:
    assert not ages(NOTE, NOW_S).is_past(moment(NOW_S + 30), KEEP)
    assert not ages(NOTE, NOW_S + 30 * DAY).is_past(moment(NOW_S + 400 * DAY), KEEP)


def test_a_stamp_from_the_future_tells_of_a_step_back_that_nobody_saw_and_tells_it_once() -> None:
    stamp_s = NOW_S + 400 * DAY
    first = next_note(NOTE, later(60), newest_s=stamp_s)
    assert (first.steady_since_s, first.before_jump_s, first.ahead_s) == (NOW_S + 60, stamp_s, stamp_s)
    again = next_note(first, later(8 * DAY), newest_s=stamp_s)
    assert again.steady_since_s == NOW_S + 60
    assert ages(again, NOW_S + 8 * DAY).is_past(moment(stamp_s), KEEP)


def test_a_stamp_of_this_moment_tells_of_nothing() -> None:
    assert next_note(NOTE, later(60), newest_s=NOW_S + 90).jump_s == 0


# What stands in the file


def test_a_note_is_read_as_it_was_written() -> None:
    for note in (NOTE, next_note(NOTE, later(400 * DAY, passed_s=60)), first_note(Reading(at_s=1.5), is_new=False)):
        assert ClockNote.parsed(json.loads(json.dumps(note.document()))) == note


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(JSON)
def test_anything_else_is_no_note(written: object) -> None:
    assert ClockNote.parsed(written) is None


@given(st.sampled_from(sorted(NOTE.document())), JSON, st.integers(-(10**30), 10**30))
def test_a_note_with_anything_in_a_place_is_none_or_one_that_can_be_used(name: str, value: object, step: int) -> None:
    for strange in (value, step):
        note = ClockNote.parsed({**NOTE.document(), name: strange})
        if note is None:
            continue
        found = next_note(note, READ, newest_s=NOW_S)
        told = ages(found, NOW_S)
        assert told.counted_from(moment(NOW_S - 1)) <= told.now
        assert told.trouble
        assert ClockNote.parsed(json.loads(json.dumps(found.document()))) == found


@pytest.mark.parametrize("at_s", [-1.0, 1e300, float("inf"), 2.0**63, 0.0, NOW_S])
def test_a_moment_that_no_date_has_is_cut(at_s: float) -> None:
    assert datetime(1970, 1, 1, tzinfo=UTC) <= moment(at_s) <= datetime(9999, 1, 1, tzinfo=UTC)
