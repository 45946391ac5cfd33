"""Compares expected, recorded and actual: the state of every variant, and what is to be made for which reason.

Set algebra only. A file whose record and listing disagree is marked for examination; the verdict on it is
`domain.plans.judge`.
"""

import polars as pl

from thumb_pipeline.domain.failures import FailureReason
from thumb_pipeline.domain.plans import Reason, State
from thumb_pipeline.domain.variants import RENDER_REVISION

WHO = ["timelapse", "source_name", "variant"]


def variant_states(
    expected: pl.LazyFrame,
    recorded: pl.LazyFrame,
    actual: pl.LazyFrame,
    *,
    decoder: str,
    retry_failed: bool = False,
) -> pl.LazyFrame:
    """The state of every expected variant.

    Args:
        expected: timelapse, source_name, n_bytes, mtime_ns, source_state, captured_at, variant, spec_fingerprint,
            variant_path.
        recorded: manifest rows.
        actual: timelapse, variant_path, n_bytes, mtime_ns of the files in variant folders.
        decoder: version of today's decoders; a refusal by others is worth another try.
        retry_failed: whether to try refused ones again although nothing changed.

    Returns:
        `expected` with `state` (a `State` or `Reason`), `is_present`, `known_digest` and `superseded_path`.
    """
    record = recorded.select(*WHO, pl.exclude(*WHO).name.prefix("r_"))
    files = actual.select("timelapse", "variant_path", pl.col("n_bytes", "mtime_ns").name.prefix("a_"))
    paths = files.select("timelapse", r_variant_path="variant_path", r_file_stands=pl.lit(True))
    joined = (
        expected.join(record, on=WHO, how="left")
        .join(files, on=["timelapse", "variant_path"], how="left")
        .join(paths, on=["timelapse", "r_variant_path"], how="left")
    )
    states = joined.with_columns(
        state=_state(decoder, retry_failed=retry_failed), is_present=pl.col("a_n_bytes").is_not_null()
    )
    return states.with_columns(known_digest=_known_digest(), superseded_path=_superseded()).select(
        pl.exclude("^[ra]_.*$")
    )


def superseded_only(states: pl.LazyFrame) -> pl.LazyFrame:
    """Forgets superseded paths that another variant is expected at (names or folders were swapped)."""
    wanted = states.select("timelapse", superseded_path="variant_path", is_wanted=pl.lit(True))
    return (
        states.join(wanted.unique(), on=["timelapse", "superseded_path"], how="left")
        .with_columns(superseded_path=pl.when(pl.col("is_wanted").is_null()).then("superseded_path"))
        .drop("is_wanted")
    )


def _state(decoder: str, *, retry_failed: bool) -> pl.Expr:
    has_record, has_file = pl.col("r_state").is_not_null(), pl.col("a_n_bytes").is_not_null()
    was_refused = pl.col("r_state") == "failed"
    transient = [reason.value for reason in FailureReason if reason.is_transient]
    stands = _same_source() & _same_spec() & (pl.col("r_decoder") == decoder) & ~pl.col("r_reason").is_in(transient)
    moved = has_record & ~was_refused & ~has_file & pl.col("r_file_stands") & ~_same_path()
    return (
        pl.when(pl.col("source_state") == "pending")
        .then(pl.lit(State.PENDING.value))
        .when(was_refused & stands & pl.lit(not retry_failed))
        .then(pl.lit(State.FAILED.value))
        .when(was_refused & _same_source())
        .then(pl.lit(Reason.RETRY.value))
        .when(moved)
        .then(pl.lit(Reason.STALE_SPEC.value))
        .when(~has_file)
        .then(pl.lit(Reason.MISSING.value))
        .when(was_refused)
        .then(pl.lit(Reason.STALE_SOURCE.value))
        .when(~has_record | ~_as_recorded())
        .then(pl.lit(State.EXAMINE.value))
        .when(~_same_source())
        .then(pl.lit(Reason.STALE_SOURCE.value))
        .when(~_same_spec())
        .then(pl.lit(Reason.STALE_SPEC.value))
        .otherwise(pl.lit(State.VALID.value))
    )


def _same_source() -> pl.Expr:
    return (pl.col("r_source_n_bytes") == pl.col("n_bytes")) & (pl.col("r_source_mtime_ns") == pl.col("mtime_ns"))


def _same_spec() -> pl.Expr:
    return (pl.col("r_spec_fingerprint") == pl.col("spec_fingerprint")) & (
        pl.col("r_render_revision") == RENDER_REVISION
    )


def _same_path() -> pl.Expr:
    return pl.col("r_variant_path") == pl.col("variant_path")


def _as_recorded() -> pl.Expr:
    return _same_path() & (pl.col("r_n_bytes") == pl.col("a_n_bytes")) & (pl.col("r_mtime_ns") == pl.col("a_mtime_ns"))


def _known_digest() -> pl.Expr:
    """The digest that makes a touched source's variants right as they are; only where all else is."""
    only_touched = (pl.col("state") == Reason.STALE_SOURCE.value) & (pl.col("r_state") == "made") & _same_spec()
    return pl.when(only_touched & (pl.col("r_source_n_bytes") == pl.col("n_bytes"))).then("r_source_digest")


def _superseded() -> pl.Expr:
    return pl.when((pl.col("r_state") == "made") & ~_same_path() & pl.col("r_file_stands")).then("r_variant_path")
