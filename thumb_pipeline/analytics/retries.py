"""How often a source was tried in vain, and when it may be tried again.

Whether a refusal stands until then is in `states`; which reasons pass by themselves in `domain.failures`.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl

from thumb_pipeline.domain.clocks import SLACK
from thumb_pipeline.domain.failures import FailureReason
from thumb_pipeline.domain.plans import RecordState

TRANSIENT = [reason.value for reason in FailureReason if reason.is_transient]
"""The reasons that pass by themselves."""


def latest_retry_at(now: datetime, delays_s: Sequence[float]) -> datetime:
    """Until when a retry may have to wait; one that is due later was told by a clock that ran ahead, and is due now.

    Args:
        now: UTC.
        delays_s: as for `with_retries`.
    """
    return now + timedelta(seconds=max(delays_s, default=0.0)) + SLACK


_SAME_TRY = ["timelapse", "source_name", "variant", "reason", "source_n_bytes", "source_mtime_ns"]


def with_retries(rows: pl.LazyFrame, before: pl.LazyFrame, *, delays_s: Sequence[float]) -> pl.LazyFrame:
    """Manifest rows, in which each refusal knows how often it was tried and when it may be again.

    Args:
        rows: what was just made or refused (`MANIFEST` columns).
        before: the rows in whose places they come.
        delays_s: how long to wait after the first try, the second, and so on; after the last, nothing is due any more.

    Returns:
        The rows with `attempts`, tries in a row that ended for the same reason over an unchanged source, and
        `retry_at`, set for reasons that pass by themselves while a delay is left.
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
