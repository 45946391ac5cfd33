"""Counting vain tries, and the time of the next."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from thumb_pipeline.analytics.retries import latest_retry_at, with_retries
from thumb_pipeline_tests.analytics.tables import frame, record, refusal

pytestmark = pytest.mark.quick

TRIED_AT = datetime(2026, 6, 1, 12, tzinfo=UTC)
DELAYS_S = (30.0, 120.0, 300.0)


def unreadable(**fields: Any) -> dict[str, Any]:
    return refusal(**{"reason": "unreadable", "recorded_at": TRIED_AT, **fields})


def tried(row: dict[str, Any], *before: dict[str, Any]) -> tuple[int | None, float | None]:
    """Attempts, and seconds from this try to the next."""
    like = record(reason="", recorded_at=TRIED_AT)
    found = with_retries(frame([row], like), frame(list(before), like), delays_s=DELAYS_S).collect().row(0, named=True)
    assert set(found) == set(like)
    wait = None if found["retry_at"] is None else (found["retry_at"] - TRIED_AT) / timedelta(seconds=1)
    return found["attempts"], wait


@pytest.mark.parametrize(
    ("n_before", "expected"), [(0, (1, 30)), (1, (2, 120)), (2, (3, 300)), (3, (4, None)), (9, (10, None))]
)
def test_after_each_vain_try_the_next_is_later_and_after_three_more_there_is_none(
    n_before: int, expected: tuple[int, float | None]
) -> None:
    before = [unreadable(attempts=n_before)] if n_before else []
    assert tried(unreadable(), *before) == expected


@pytest.mark.parametrize(
    "before",
    [
        unreadable(attempts=3, source_mtime_ns=4),
        unreadable(attempts=3, source_n_bytes=999),
        unreadable(attempts=3, reason="truncated"),
        unreadable(attempts=3, source_name="b.jpg"),
        unreadable(attempts=None),
        record(attempts=3, recorded_at=TRIED_AT),
    ],
    ids=["touched", "changed", "another reason", "another source", "not counted", "it was made"],
)
def test_only_tries_of_the_same_source_for_the_same_reason_count(before: dict[str, Any]) -> None:
    assert tried(unreadable(), before) == (1, 30)


def test_what_repeats_itself_is_counted_and_never_due() -> None:
    broken = unreadable(reason="truncated")
    assert tried(broken, {**broken, "attempts": 1}) == (2, None)


def test_no_retry_waits_longer_than_the_longest_delay_and_what_time_servers_do() -> None:
    latest = latest_retry_at(TRIED_AT, DELAYS_S)
    assert timedelta(seconds=300) < latest - TRIED_AT < timedelta(seconds=1000)
    assert TRIED_AT < latest_retry_at(TRIED_AT, []) < latest


def test_what_was_made_has_neither() -> None:
    assert tried(record(recorded_at=TRIED_AT), unreadable(attempts=2)) == (None, None)
