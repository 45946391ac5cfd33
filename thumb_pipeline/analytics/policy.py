"""Which captures of a timelapse must have a variant: a policy's rules, applied to a table of sources.

The rules are in `domain.policy`. `stages.planning.policy` provides the sources, and which of them were refused.
"""

import re
from datetime import datetime, timedelta

import polars as pl

from thumb_pipeline.domain.policy import Mode, Policy, Retention

_CAP = timedelta(days=1)


def required(sources: pl.LazyFrame, policy: Policy, variant: str, *, now: datetime) -> pl.LazyFrame:
    """The sources that must have a variant.

    Args:
        sources: of one timelapse: source_name, state, captured_at, first_seen_at, is_refused (by a refusal that
            stands).
        policy: the timelapse's.
        variant: which variant.
        now: the present instant, UTC, from which the age of captures is computed.

    Returns:
        The same columns, with the required sources only.
    """
    unflagged = sources.filter(~_is_flagged(policy))
    parts = []
    for number, era in enumerate(policy.eras):
        rule = era.rules.get(variant)
        if rule is None or rule.mode is Mode.NONE:
            continue
        until = policy.eras[number + 1].since if number + 1 < len(policy.eras) else None
        mine = unflagged.filter(_between(era.since, until))
        if rule.mode is Mode.LATEST_ONLY:
            mine = latest(mine, now=now)
        parts.append(mine if rule.retention is None else retained(mine, rule.retention, now=now))
    return pl.concat(parts) if parts else sources.head(0)


def latest(sources: pl.LazyFrame, *, now: datetime) -> pl.LazyFrame:
    """The newest source that is complete and not refused."""
    return in_order(sources.filter((pl.col("state") != "pending") & ~pl.col("is_refused")), now=now).tail(1)


def in_order(sources: pl.LazyFrame, *, now: datetime) -> pl.LazyFrame:
    """Sources (captured_at, first_seen_at, source_name) as they were taken, the newest last.

    A capture time counts only up to a day after the source was first seen: otherwise one frame of a camera whose clock
    runs ahead would be the newest for ever. A first_seen_at in the future, from when our own clock ran ahead, counts as
    now.
    """
    when = pl.min_horizontal("captured_at", pl.min_horizontal("first_seen_at", pl.lit(now)) + _CAP)
    return sources.sort(when, "source_name")


def retained(sources: pl.LazyFrame, retention: Retention, *, now: datetime) -> pl.LazyFrame:
    """Young sources, and of the older ones the first in each period."""
    is_young = pl.col("captured_at") > now - timedelta(seconds=retention.keep_s)
    if retention.then_every_s is None:
        return sources.filter(is_young)
    stretch = pl.col("captured_at").dt.epoch("s") // retention.then_every_s
    first = (pl.col("captured_at").rank("ordinal").over(stretch) == 1).alias("_is_first")
    return (
        sources.sort("captured_at", "source_name")
        .with_columns(first)
        .filter(is_young | pl.col("_is_first"))
        .drop("_is_first")
    )


def _is_flagged(policy: Policy) -> pl.Expr:
    name = pl.col("source_name")
    patterns = [f"^(?s:{_expression(pattern)})$" for pattern in policy.flagged_patterns]
    return pl.any_horizontal(name.is_in(sorted(policy.flagged_names)), *(name.str.contains(p) for p in patterns))


def _expression(pattern: str) -> str:
    """A shell pattern (`*` and `?`) as a regular expression."""
    return re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")


def _between(since: datetime | None, until: datetime | None) -> pl.Expr:
    inside = pl.lit(True)
    if since is not None:
        inside = inside & (pl.col("captured_at") >= since)
    return inside if until is None else inside & (pl.col("captured_at") < until)
