import pytest
from hypothesis import given
from hypothesis import strategies as st

from thumb_pipeline.domain.watching import (
    RETRY_AFTER_S,
    RUN_LASTS_S,
    Cursor,
    Decision,
    InFlight,
    Known,
    OnDisk,
    Sight,
    beginning_at,
    decide,
    is_successor_due,
    next_batch,
    restless_again_s,
    turn_of,
)

pytestmark = pytest.mark.quick

A, B = "camera-1/timelapse-1", "camera-1/timelapse-2"
FINE, COARSE = 1_700_000_000_123_456_789, 1_700_000_000_000_000_000
NOW_S = 1_000_000.0


def decided(
    *,
    on_disk: OnDisk | None = None,
    known: Known | None = None,
    in_flight: InFlight | None = None,
    cursor: Cursor | None = None,
    now_s: float = NOW_S,
    keep_warm: bool = False,
) -> Decision:
    return decide(
        on_disk or OnDisk(timelapses={A}),
        known or Known(partitions={A}),
        in_flight or InFlight(),
        cursor or Cursor(),
        now_s=now_s,
        keep_warm=keep_warm,
    )


def test_nothing_new_asks_for_nothing_and_says_so() -> None:
    assert decided() == Decision(add=[], retire=[], is_run_due=False, reason="nothing new")


def test_waiting_sources_ask_for_a_run() -> None:
    assert decided(on_disk=OnDisk(timelapses={A}, n_waiting=1)).is_run_due


def test_no_run_is_asked_for_while_one_attends() -> None:
    assert not decided(on_disk=OnDisk(timelapses={A}, n_waiting=1), in_flight=InFlight(is_attended=True)).is_run_due


def test_a_timelapse_that_appeared_becomes_a_partition() -> None:
    assert decided(on_disk=OnDisk(timelapses={A, B})).add == [B]


def test_a_folder_that_vanished_retires_nothing_by_itself() -> None:
    assert decided(known=Known(partitions={A, B})).retire == []


def test_a_forgotten_timelapse_is_retired() -> None:
    assert decided(known=Known(partitions={A, B}, forgotten={B})).retire == [B]


def test_a_forgotten_timelapse_stays_while_a_run_counts_on_it() -> None:
    known = Known(partitions={A, B}, forgotten={B})
    assert decided(known=known, in_flight=InFlight(timelapses={B})).retire == []


def test_a_timelapse_without_sources_that_is_on_the_disk_stays() -> None:
    assert decided(known=Known(partitions={A}, forgotten={A})).retire == []


def test_a_run_that_did_not_end_is_not_asked_for_again_at_once() -> None:
    on_disk = OnDisk(timelapses={A}, n_waiting=1)
    for attempts in (1, 2, 3, 4, 9):
        wait_s = RETRY_AFTER_S[min(attempts, len(RETRY_AFTER_S)) - 1]
        cursor = Cursor(attempts=attempts, asked_at_s=NOW_S)
        assert not decided(on_disk=on_disk, cursor=cursor, now_s=NOW_S + wait_s - 1).is_run_due
        assert decided(on_disk=on_disk, cursor=cursor, now_s=NOW_S + wait_s).is_run_due


def test_a_run_is_kept_warm_where_nothing_waits() -> None:
    assert decided(keep_warm=True).is_run_due
    assert not decided(keep_warm=False).is_run_due


def test_a_run_that_is_kept_warm_and_does_not_come_up_is_not_asked_for_again_at_once() -> None:
    cursor = Cursor(attempts=2, asked_at_s=NOW_S)
    assert not decided(cursor=cursor, now_s=NOW_S + 1, keep_warm=True).is_run_due
    assert not decided(in_flight=InFlight(is_attended=True), keep_warm=True).is_run_due


@pytest.mark.parametrize(
    ("ages_s", "is_due"),
    [([], False), ([0.0], False), ([RUN_LASTS_S - 1], False), ([RUN_LASTS_S], True), ([RUN_LASTS_S, 0.0], False)],
)
def test_a_run_whose_time_is_over_gets_one_successor(ages_s: list[float], *, is_due: bool) -> None:
    assert is_successor_due(ages_s) == is_due


def test_a_clock_that_was_put_back_does_not_stop_the_asking() -> None:
    cursor = Cursor(attempts=4, asked_at_s=NOW_S)
    assert decided(on_disk=OnDisk(timelapses={A}, n_waiting=1), cursor=cursor, now_s=NOW_S - 3600).is_run_due


names = st.sets(st.sampled_from([f"camera-1/timelapse-{n}" for n in range(6)]))


@given(names, names, names, names, st.integers(0, 3))
def test_whatever_is_found_nothing_on_the_disk_or_counted_on_is_retired(
    on_disk: set[str], partitions: set[str], forgotten: set[str], counted_on: set[str], n_waiting: int
) -> None:
    decision = decided(
        on_disk=OnDisk(timelapses=on_disk, n_waiting=n_waiting),
        known=Known(partitions=partitions, forgotten=forgotten),
        in_flight=InFlight(timelapses=counted_on),
    )
    assert not set(decision.retire) & (on_disk | counted_on)
    assert set(decision.retire) <= partitions & forgotten
    assert set(decision.add) == on_disk - partitions


def test_a_folder_on_a_disk_with_fine_clocks_is_listed_once_its_tick_is_over() -> None:
    sight = Sight(mtime_ns=FINE, first_seen_s=10.0, restless_from_s=10.0)
    assert not turn_of(sight, was_listed=False, now_s=10.0).is_due
    later = turn_of(sight, was_listed=False, now_s=10.1)
    assert (later.is_due, later.is_final) == (True, True)


def test_a_folder_that_has_moved_for_a_second_is_listed_though_it_goes_on() -> None:
    sight = Sight(mtime_ns=FINE, first_seen_s=11.5, restless_from_s=10.0)
    turn = turn_of(sight, was_listed=False, now_s=11.5)
    assert (turn.is_due, turn.is_final) == (True, False)
    assert turn.again_s is not None
    assert turn_of(sight, was_listed=True, now_s=turn.again_s).is_final


def test_a_folder_that_takes_long_to_list_is_listed_less_often_while_it_moves() -> None:
    assert restless_again_s(10.0, 10.01) == pytest.approx(10.01)
    assert restless_again_s(10.0, 12.0) == pytest.approx(12.0 + 20.0 - 1.0)


def test_each_folder_gets_its_turn() -> None:
    folders = {"a": 1, "b": 2, "c": 3}
    assert [key for key, _ in beginning_at("b", folders.items())] == ["b", "c", "a"]
    assert [key for key, _ in beginning_at("gone", folders.items())] == ["a", "b", "c"]


def test_a_folder_on_a_disk_with_whole_seconds_is_listed_at_once_and_once_more() -> None:
    sight = Sight(mtime_ns=COARSE, first_seen_s=10.0, restless_from_s=10.0)
    first = turn_of(sight, was_listed=False, now_s=10.0)
    assert (first.is_due, first.is_final) == (True, False)
    assert first.again_s is not None
    assert not turn_of(sight, was_listed=True, now_s=11.0).is_due
    last = turn_of(sight, was_listed=True, now_s=first.again_s)
    assert (last.is_due, last.is_final) == (True, True)


def test_a_batch_takes_the_newest_of_each_timelapse() -> None:
    assert next_batch({A: ["1", "2", "3"], B: ["4", "5"]}, 4) == {A: ["2", "3"], B: ["4", "5"]}


def test_an_import_of_thousands_leaves_the_others_their_place() -> None:
    batch = next_batch({A: [str(n) for n in range(10_000)], B: ["new"]}, 10)
    assert batch[B] == ["new"]
    assert len(batch[A]) == 9


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.lists(st.text("xyz", min_size=1), unique=True)), st.integers(0, 12)
)
def test_a_batch_is_as_large_as_it_can_be_and_no_larger(backlog: dict[str, list[str]], limit: int) -> None:
    batch = next_batch(backlog, limit)
    assert sum(map(len, batch.values())) == min(limit, sum(map(len, backlog.values())))
    assert all(backlog[key][-len(found) :] == found for key, found in batch.items())
