"""Counts what a verification found: the state of every variant, by timelapse and variant.

The states are decided in `states` and in `domain.plans`; their names are in `domain.findings`.
"""

import polars as pl

from thumb_pipeline.domain.findings import VariantState
from thumb_pipeline.domain.plans import Reason, State

_WAITING = (VariantState.MISSING, VariantState.STALE_SOURCE, VariantState.CORRUPT)

_SAME_WORD = (
    *(VariantState.PENDING, VariantState.FAILED, VariantState.MISSING, VariantState.CORRUPT),
    *(VariantState.STALE_SOURCE, VariantState.STALE_SPEC, VariantState.VALID),
)


def variant_state(adopted: str) -> pl.Expr:
    """The `VariantState` of rows that a plan would have decided (`State`, `Reason`, or `adopted`), column `state`.

    A refusal that is due for a retry no longer holds: without a file (see `doubted`) its variant is missing.
    """
    words = {state.value: state.value for state in _SAME_WORD}
    words[adopted] = VariantState.UNRECORDED.value
    words[State.VALID.value] = VariantState.VALID.value
    words[Reason.RETRY.value] = VariantState.MISSING.value
    return pl.col("state").replace_strict(words, default=None, return_dtype=pl.String)


def doubted() -> pl.Expr:
    """Column `state`, in which a file beside a refusal that no longer holds is to be examined."""
    is_beside = (pl.col("state") == Reason.RETRY.value) & pl.col("is_present")
    return pl.when(is_beside).then(pl.lit(State.EXAMINE.value)).otherwise("state").alias("state")


def counted(states: pl.LazyFrame) -> pl.LazyFrame:
    """The number of variants in each state, and since when the oldest one waits.

    Args:
        states: timelapse, variant, state, captured_at; any number of rows a variant.

    Returns:
        timelapse, variant, one column a state, oldest_without_at: the capture time of the oldest source whose
        variant is missing, corrupt, or made from other bytes.
    """
    waits = pl.col("state").is_in([state.value for state in _WAITING])
    counts = {state.value: (pl.col("state") == state.value).sum().cast(pl.Int64) for state in VariantState}
    return states.group_by("timelapse", "variant").agg(
        **counts, oldest_without_at=pl.col("captured_at").filter(waits).min()
    )
