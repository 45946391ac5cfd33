"""Compares expected, recorded and actual variants: the state of each, and what is to be made for which reason.

Joins and comparisons only. A file whose record and listing disagree is marked for examination; `domain.plans.judge`
gives the verdict on it.
"""

from datetime import datetime

import polars as pl

from thumb_pipeline.analytics.expected import variant_path
from thumb_pipeline.analytics.retries import TRANSIENT
from thumb_pipeline.domain.plans import Reason, RecordState, State
from thumb_pipeline.domain.variants import RENDER_REVISION, VariantSpec


def records(
    recorded: pl.LazyFrame,
    spec: VariantSpec,
    *,
    decoder: str,
    frame_at: str,
    now: datetime,
    latest_retry_at: datetime | None = None,
) -> pl.LazyFrame:
    """The part of one variant's manifest rows that the comparison needs: far less memory at half a million rows.

    Args:
        recorded: manifest rows.
        spec: the variant's.
        decoder: version of today's decoders; a refusal by another version is tried again.
        frame_at: the moment of a video that its variants should show.
        now: decides which refusals are due for a retry.
        latest_retry_at: a retry with a later time is due now (`analytics.retries`); None for no such limit.

    Returns:
        timelapse, source_name and, with the prefix `r_`: variant_path, source_n_bytes, source_mtime_ns, source_digest,
        n_bytes, mtime_ns, is_refused, stands (a refusal that is not to be tried again, or not yet), same_spec.
    """
    columns = ("variant_path", "source_n_bytes", "source_mtime_ns", "source_digest", "n_bytes", "mtime_ns")
    return recorded.filter(pl.col("variant") == spec.name).select(
        "timelapse",
        "source_name",
        pl.col(columns).name.prefix("r_"),
        r_is_refused=pl.col("state") == RecordState.FAILED,
        r_stands=(pl.col("decoder") == decoder) & ~_is_due(now, latest_retry_at),
        r_same_spec=(pl.col("spec_fingerprint") == spec.fingerprint)
        & (pl.col("render_revision") == RENDER_REVISION)
        & pl.col("frame_at").eq(frame_at).fill_null(True),
    )


def _is_due(now: datetime, latest_retry_at: datetime | None) -> pl.Expr:
    """Whether a transient refusal is due for a retry; one without a number of attempts is."""
    is_never_again = pl.col("attempts").is_not_null() & pl.col("retry_at").is_null()
    retry_at = pl.col("retry_at")
    is_too_early = (retry_at.gt(now) & (retry_at.le(latest_retry_at) if latest_retry_at else True)).fill_null(False)
    return pl.col("reason").is_in(TRANSIENT) & ~is_never_again & ~is_too_early


def variant_states(
    sources: pl.LazyFrame,
    recorded: pl.LazyFrame,
    actual: pl.LazyFrame,
    spec: VariantSpec,
    *,
    n_timelapses: int,
    retry_failed: bool = False,
) -> pl.LazyFrame:
    """The state of one variant of every source that must have it.

    Args:
        sources: timelapse, source_name, n_bytes, mtime_ns, state, captured_at.
        recorded: what `records` gives.
        actual: timelapse, variant_path, n_bytes, mtime_ns of the files in the variant's folders.
        spec: the variant's.
        n_timelapses: how many timelapses the tables hold; with one, the joins are simpler.
        retry_failed: whether to try refused ones again although nothing changed.

    Returns:
        timelapse, source_name, n_bytes, mtime_ns, captured_at, variant_path, `state` (a `State` or `Reason`),
        `is_present`, `known_digest`, `superseded_path`, `superseded_source` (none yet).
    """
    where = ["timelapse"] if n_timelapses > 1 else []
    record = recorded if n_timelapses > 1 else recorded.drop("timelapse")
    files = actual.select(*where, "variant_path", pl.col("n_bytes", "mtime_ns").name.prefix("a_"))
    stands = actual.select(*where, r_variant_path="variant_path", r_file_stands=pl.lit(True))
    joined = (
        sources.rename({"state": "source_state"})
        .with_columns(variant_path=variant_path(spec))
        .join(record, on=[*where, "source_name"], how="left")
        .join(files, on=[*where, "variant_path"], how="left")
    )
    moved = joined.filter(~_same_path()).join(stands, on=[*where, "r_variant_path"], how="left")
    stayed = joined.filter(_same_path().fill_null(True)).with_columns(r_file_stands=pl.lit(None, pl.Boolean))
    states = pl.concat([stayed, moved]).with_columns(
        state=_state(retry_failed=retry_failed), is_present=pl.col("a_n_bytes").is_not_null()
    )
    return states.with_columns(
        known_digest=_known_digest(), superseded_path=_superseded(), superseded_source=pl.lit(None, pl.String)
    ).select(pl.exclude("^[ra]_.*$", "source_state"))


def _state(*, retry_failed: bool) -> pl.Expr:
    has_record, has_file = pl.col("r_is_refused").is_not_null(), pl.col("a_n_bytes").is_not_null()
    was_refused = pl.col("r_is_refused")
    stands = _same_source() & pl.col("r_same_spec") & pl.col("r_stands")
    moved = has_record & ~was_refused & ~has_file & pl.col("r_file_stands")
    return (
        pl.when(pl.col("source_state") == "pending")
        .then(pl.lit(State.PENDING.value))
        .when(was_refused & stands & pl.lit(not retry_failed))
        .then(pl.lit(State.FAILED.value))
        .when(was_refused & _same_source())
        .then(pl.lit(Reason.RETRY.value))
        .when(moved)
        .then(
            pl.when(_same_source()).then(pl.lit(Reason.STALE_SPEC.value)).otherwise(pl.lit(Reason.STALE_SOURCE.value))
        )
        .when(~has_file)
        .then(pl.lit(Reason.MISSING.value))
        .when(~has_record | was_refused | ~_as_recorded())
        .then(pl.lit(State.EXAMINE.value))
        .when(~_same_source())
        .then(pl.lit(Reason.STALE_SOURCE.value))
        .when(~pl.col("r_same_spec"))
        .then(pl.lit(Reason.STALE_SPEC.value))
        .otherwise(pl.lit(State.VALID.value))
    )


def _same_source() -> pl.Expr:
    return (pl.col("r_source_n_bytes") == pl.col("n_bytes")) & (pl.col("r_source_mtime_ns") == pl.col("mtime_ns"))


def _same_path() -> pl.Expr:
    return pl.col("r_variant_path") == pl.col("variant_path")


def _as_recorded() -> pl.Expr:
    return _same_path() & (pl.col("r_n_bytes") == pl.col("a_n_bytes")) & (pl.col("r_mtime_ns") == pl.col("a_mtime_ns"))


def _known_digest() -> pl.Expr:
    """The source digest recorded with a variant, if the source's mtime is all that differs; else null."""
    stale = pl.col("state") == Reason.STALE_SOURCE.value
    only_touched = stale & ~pl.col("r_is_refused") & pl.col("r_same_spec")
    return pl.when(only_touched & (pl.col("r_source_n_bytes") == pl.col("n_bytes"))).then("r_source_digest")


def _superseded() -> pl.Expr:
    """The path of the last variant made, if it has another name and exists; also if a later attempt was refused."""
    return pl.when(~_same_path() & pl.col("r_file_stands")).then("r_variant_path")
