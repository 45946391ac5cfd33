"""How often a source was tried without success, and when it is retried.

Whether a refusal still holds is decided in `states`; which reasons are transient is in `domain.failures`.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl

from thumb_pipeline.domain.clocks import SLACK
from thumb_pipeline.domain.failures import FailureReason
from thumb_pipeline.domain.plans import RecordState

TRANSIENT = [reason.value for reason in FailureReason if reason.is_transient]
"""The reasons that may pass by themselves."""


def latest_retry_at(now: datetime, delays_s: Sequence[float]) -> datetime:
    """The latest time for a retry; a later one was computed with a clock that ran ahead, and is due now.

    Args:
        now: UTC.
        delays_s: as for `with_retries`.
    """
    return now + timedelta(seconds=max(delays_s, default=0.0)) + SLACK


_SAME_TRY = ["timelapse", "source_name", "variant", "reason", "source_n_bytes", "source_mtime_ns"]


def with_retries(rows: pl.LazyFrame, before: pl.LazyFrame, *, delays_s: Sequence[float]) -> pl.LazyFrame:
    """Manifest rows in which each refusal has its number of attempts and the time of its next retry.

    Args:
        rows: what was just made or refused (`MANIFEST` columns).
        before: the rows that they replace.
        delays_s: how long to wait after the first try, the second, and so on; after the last delay there is no retry.

    Returns:
        The rows with `attempts`, tries in a row that ended for the same reason over an unchanged source, and
        `retry_at`, set for transient reasons while a delay is left.
    """
    is_refused = pl.col("state") == RecordState.FAILED
    earlier = before.filter(is_refused).select(*_SAME_TRY, n_earlier="attempts")
    tried = pl.when(is_refused).then(pl.col("n_earlier").fill_null(0) + 1)
    delay_us = pl.col("attempts").replace_strict(
        list(range(1, len(delays_s) + 1)),
        [round(delay_s * 1_000_000) for delay_s in delays_s],
        default=None,
        return_dtype=pl.Int64,
    )
    due_at = pl.when(pl.col("reason").is_in(TRANSIENT)).then(pl.col("recorded_at") + pl.duration(microseconds=delay_us))
    return (
        rows.join(earlier, on=_SAME_TRY, how="left")
        .with_columns(attempts=tried)
        .with_columns(retry_at=due_at)
        .drop("n_earlier")
    )
