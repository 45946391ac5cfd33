"""Verdicts in words: the summary sentence, whether anything is wrong, and the commands that put it right.

Counting is done in `verify`, tables to read are made in `reports`, questions about the whole library are in `health`.
"""

from collections.abc import Iterable

import polars as pl

from thumb_pipeline.domain.findings import VariantState

REMEDIES = (
    ((VariantState.UNRECORDED, VariantState.ORPHAN), "repair --apply"),  # first: it spares rendering
    ((VariantState.MISSING, VariantState.CORRUPT, VariantState.STALE_SOURCE, VariantState.STALE_SPEC), "generate"),
    ((VariantState.FAILED,), "generate --retry-failed"),
    ((VariantState.ORPHAN,), "sweep"),
)
"""Which command puts which states right."""

WRONG_STATES = [state.value for state in VariantState if state.is_wrong]


def states(verdicts: pl.DataFrame) -> dict[str, int]:
    """How many variants are in each state, over all rows of a table of verdicts; valid ones come first."""
    return {state.value: int(verdicts[state.value].sum()) for state in reversed(VariantState)}


def is_wrong(verdicts: pl.DataFrame, timelapses: pl.DataFrame) -> bool:
    """Whether somebody has to do something about a variant, a file or a source."""
    sources = timelapses.select("vanished", "bit_rot", "unreadable").sum().sum_horizontal().item()
    return bool(verdicts.select(pl.sum_horizontal(WRONG_STATES).sum()).item() or sources)


def remedies(verdicts: pl.DataFrame) -> list[str]:
    """The commands that put the variants right, without the program's name."""
    counts = states(verdicts)
    return [command for wrong, command in REMEDIES if any(counts[state.value] for state in wrong)]


def sentence(verdicts: pl.DataFrame, variants: Iterable[str]) -> str:
    """Such as `47/50 thumbnails valid, 3 missing; 50/50 smalls valid`.

    Args:
        verdicts: of any timelapses (`VERDICTS` columns).
        variants: the names of the settings, in their order; other variants appear only if files of theirs are left.
    """
    parts = []
    known = list(variants)
    retired = sorted(set(verdicts["variant"]) - {*known, ""})
    for name in [*known, *retired, ""]:
        mine = verdicts.filter(pl.col("variant") == name)
        if mine.is_empty() and name == "":
            continue
        wrong = [
            f"{n:,} {state.value}"
            for state in VariantState
            if state is not VariantState.VALID and (n := int(mine[state.value].sum()))
        ]
        if name in retired:
            parts.extend([f"{name}s, which the settings do not name: {', '.join(wrong)}"] if wrong else [])
            continue
        valid = f"{int(mine['valid'].sum()):,}/{int(mine['required'].sum()):,} {name}s valid"
        parts.append(", ".join([valid, *wrong]) if name else f"other files: {', '.join(wrong) or 'none'}")
    return "; ".join(parts)
