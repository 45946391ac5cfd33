"""Checks the values in rows of a table: timelapses, names of single files, sizes, instants, words of closed lists.

Checked are rows about to be written, and rows from files without a seal (`vetting`): a name becomes part of a path, a
word decides what is done, and an instant beyond the calendar ends in a traceback.
"""

import functools
from datetime import UTC, datetime

import polars as pl

from thumb_pipeline.datasets.schemas import INSTANT, TableSchema
from thumb_pipeline.domain.layout import is_key, split_variant_path
from thumb_pipeline.domain.names import MAX_NAME_BYTES, to_bytes

_NAMES = ("source_name", "superseded_source")
_PATHS = ("variant_path", "superseded_path")
_SIDES = ("width_px", "height_px")
_COUNTS = ("n_bytes", "source_n_bytes", "attempts", "render_revision", "time_of_day_s", "chunk")
_EARLIEST, _LATEST = datetime(1600, 1, 1, tzinfo=UTC), datetime(2400, 1, 1, tzinfo=UTC)
_UNUSUAL = "a name is unusual"
_UNFIT = r"[\x00-\x1f\x7f-\x9f\u{2028}\u{2029}]"


def fault_in(rows: pl.DataFrame, schema: TableSchema, key: str | None, *, removed: str | None) -> str | None:
    """What is wrong with rows of a slice, in words; None if nothing is.

    Args:
        rows: with the columns of the schema.
        schema: of the table.
        key: of the slice; None for rows of several.
        removed: the column that is true in rows that only record a removal; they hold nothing but their key. None if
            there is no such column.
    """
    if rows.is_empty():
        return None
    has_keys = key is None or schema.is_of_library
    is_other = (pl.col("timelapse") != pl.lit(key, pl.String)).any().alias(f"timelapse is not {key}")
    questions = [*_questions(schema, removed), *([] if has_keys else [is_other])]
    (answers,) = rows.select(questions).to_dicts()
    is_unusual = answers.pop(_UNUSUAL, False)
    wrong = next((what for what, is_wrong in answers.items() if is_wrong), None)
    if wrong is not None or not (is_unusual or has_keys):
        return wrong
    return _fault_in_names(rows, schema, has_keys=has_keys)


@functools.cache
def _questions(schema: TableSchema, removed: str | None) -> list[pl.Expr]:
    """One expression for each fault, named after it and true if any row has it; and one for unusual names."""
    is_row = ~pl.col(removed) if removed else pl.lit(True)
    wrong = {f"{name} is empty": pl.col(name).is_null() for name in ("timelapse", *schema.key)}
    wrong |= {f"{name} is empty": pl.col(name).is_null() & is_row for name in schema.always}
    for name, words in schema.words.items():
        known = sorted(map(str, words))  # given members of an enumeration, Polars would make an Enum type of them
        wrong[f"{name} is not one of {', '.join(known)}"] = ~pl.col(name).is_in(known) & is_row
    for name, kind in schema.columns.items():
        cannot_be = _wrong_in(pl.col(name), name, kind, schema)
        if cannot_be is not None:
            wrong[f"{name} has an impossible value"] = cannot_be
    names = [_is_unusual(name) for name in (*_NAMES, *_PATHS) if name in schema.columns]
    wrong |= {_UNUSUAL: pl.any_horizontal(names)} if names else {}
    return [is_wrong.any().alias(what) for what, is_wrong in wrong.items()]


def _is_unusual(name: str) -> pl.Expr:
    return pl.col(name).str.contains("%", literal=True) | (pl.col(name).str.len_bytes() > MAX_NAME_BYTES)


def _wrong_in(column: pl.Expr, name: str, kind: object, schema: TableSchema) -> pl.Expr | None:
    """True where a column holds an impossible value, by the column's name or type; None if it cannot."""
    may_be_empty = (column == "") & (name in schema.may_be_empty)
    if name in _NAMES:
        return _is_no_segment(column) & ~may_be_empty
    if name in _PATHS:
        return _is_no_path(column) & ~may_be_empty
    if kind == INSTANT:
        return ~column.is_between(_EARLIEST, _LATEST)
    if kind in (pl.Float32, pl.Float64):
        return ~(column.is_finite() & (column >= 0))
    if name in _SIDES:
        return column < 1
    return column < 0 if name in _COUNTS or (schema.is_of_library and kind == pl.Int64) else None


def _is_no_segment(column: pl.Expr) -> pl.Expr:
    return column.str.contains(r"/|^\.{0,2}$|" + _UNFIT)


def _is_no_path(column: pl.Expr) -> pl.Expr:
    """A rough check: unusual paths that pass are checked one by one (`_fault_in_names`)."""
    return ~column.str.contains(r"^[^/]+/[^/]+$") | column.str.contains(
        r"^\.{1,2}/|/\.{1,2}$|^(?i-u:frames|overlays|videos)/|" + _UNFIT
    )


def _fault_in_names(rows: pl.DataFrame, schema: TableSchema, *, has_keys: bool) -> str | None:
    """What is wrong with names that have escapes or are long, and with keys if the rows are of several timelapses."""
    for name in (column for column in (*_NAMES, *_PATHS) if column in schema.columns):
        for text in rows.filter(_is_unusual(name))[name].unique():
            try:
                last = split_variant_path(text)[1] if name in _PATHS else text
                is_too_long = len(to_bytes(last)) > MAX_NAME_BYTES
            except ValueError:
                return f"{name} is not the name of a file"
            if is_too_long:
                return f"{name} is too long a name"
    are_keys = all(map(is_key, rows["timelapse"].unique())) if has_keys else True
    return None if are_keys else "timelapse is not the key of a timelapse"
