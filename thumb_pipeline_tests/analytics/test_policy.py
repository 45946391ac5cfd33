"""A policy's rules, applied to a small table of captures."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from thumb_pipeline.analytics.policy import required
from thumb_pipeline.datasets.schemas import INSTANT
from thumb_pipeline.domain.policy import Era, Mode, Policy, Retention, Rule

pytestmark = pytest.mark.quick

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
LATEST = Rule(mode=Mode.LATEST_ONLY)


def captures(*ages_h: float, **columns: list[object]) -> pl.LazyFrame:
    """Captures named after their age in hours, all complete and never refused unless columns say otherwise."""
    at = [NOW - timedelta(hours=age) for age in ages_h]
    rows = {
        "source_name": [f"{age:g}" for age in ages_h],
        "state": ["settled"] * len(at),
        "captured_at": at,
        "first_seen_at": at,
        "is_refused": [False] * len(at),
        **columns,
    }
    return pl.LazyFrame(rows, schema_overrides={"captured_at": INSTANT, "first_seen_at": INSTANT})


def policy(rule: Rule | None, **more: object) -> Policy:
    return Policy(eras=(Era(since=None, rules={} if rule is None else {"small": rule}),), **more)  # type: ignore[arg-type]


def chosen(sources: pl.LazyFrame, asked: Policy) -> set[str]:
    return set(required(sources, asked, "small", now=NOW).collect()["source_name"])


def test_a_variant_without_a_rule_or_with_mode_none_is_asked_of_nobody() -> None:
    assert chosen(captures(1, 2), policy(None)) == chosen(captures(1, 2), policy(Rule(mode=Mode.NONE))) == set()


def test_latest_only_asks_the_newest_that_is_complete_and_was_not_refused() -> None:
    assert chosen(captures(3, 1, 2), policy(LATEST)) == {"1"}
    assert chosen(captures(3, 1, 2, is_refused=[False, True, False]), policy(LATEST)) == {"2"}
    assert chosen(captures(3, 1, 2, state=["settled", "pending", "settled"]), policy(LATEST)) == {"2"}


def test_a_capture_from_the_future_is_the_newest_for_a_day_after_its_first_sight_only() -> None:
    seen = [NOW - timedelta(hours=48), NOW - timedelta(hours=1)]
    assert chosen(captures(-9000, 1, first_seen_at=seen), policy(LATEST)) == {"1"}
    assert chosen(captures(-9000, 1), policy(LATEST)) == {"-9000"}


def test_of_captures_at_the_same_instant_the_last_name_is_the_newest() -> None:
    assert chosen(captures(1, 1, source_name=["a", "b"]), policy(LATEST)) == {"b"}


def test_retention_keeps_every_young_capture_and_of_old_ones_the_first_of_each_stretch() -> None:
    old = [50.0, 50.4, 50.8, 51.5]  # hours ago, at NOW = 12:00: 10:00, 09:36, 09:12 and 08:30 two days before
    kept = Retention(keep_s=48 * 3600, then_every_s=3600)
    assert chosen(captures(1, 2, *old), policy(Rule(retention=kept))) == {"1", "2", "50", "50.8", "51.5"}


def test_retention_without_a_stretch_keeps_none_of_the_old() -> None:
    assert chosen(captures(1, 50), policy(Rule(retention=Retention(keep_s=48 * 3600)))) == {"1"}


def test_flagged_captures_are_left_out_by_name_and_by_pattern() -> None:
    names = ["a.jpg", "b.bad.jpg", "c[1].jpg", "d\n.bad.jpg"]
    flagged = policy(Rule(), flagged_names=frozenset({"a.jpg"}), flagged_patterns=("*.bad.jp?",))
    assert chosen(captures(1, 2, 3, 4, source_name=names), flagged) == {"c[1].jpg"}


def test_each_era_judges_its_own_captures() -> None:
    eras = (Era(since=None, rules={"small": Rule()}), Era(since=NOW - timedelta(hours=5), rules={"small": LATEST}))
    assert chosen(captures(1, 2, 5, 6, 7), Policy(eras=eras)) == {"1", "6", "7"}


def test_a_policy_is_plain_only_when_every_capture_is_asked() -> None:
    assert policy(Rule()).is_plain("small")
    assert not policy(LATEST).is_plain("small")
    assert not policy(Rule()).is_plain("thumbnail")
    assert not policy(Rule(), flagged_patterns=("*.bad",)).is_plain("small")
