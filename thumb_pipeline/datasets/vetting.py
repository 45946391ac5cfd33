"""Vets the files of a slice before Polars reads them: each once in a process, as a published file never changes.

A valid seal proves that this program wrote the file. A file without a seal (from an earlier version, or put there by
somebody) is read whole with pyarrow, which survives damaged files, and each of its rows must be possible (`soundness`).
A file that fails is named in the error, with the remedy, and its slice cannot be read.
"""

import os
import stat
from typing import TYPE_CHECKING, BinaryIO

import polars as pl

from thumb_pipeline.datasets import seals, soundness
from thumb_pipeline.datasets.schemas import TableSchema
from thumb_pipeline.domain.plain_text import plain

if TYPE_CHECKING:
    import pyarrow as pa

SEQUENCE = "_sequence"
REMOVED = "_removed"
ROW_GROUP = 32_768
"""The most rows in a row group: a reader allocates memory for as many as the footer states."""

_MOST_VETTED = 100_000
_REFOUND = "what it recorded is then found again from the files themselves, without rendering"
_State = tuple[int, int, int, int]

_vetted: dict[tuple[str, str], tuple[_State, bool]] = {}
"""Files that passed, by path and slice: their state then, and whether they have a seal."""


class SliceDamaged(Exception):
    """A table's file cannot be used; the message names it and the remedy."""


def stored(schema: TableSchema) -> dict[str, pl.DataType | type[pl.DataType]]:
    """The columns of a table's files."""
    return {**schema.columns, SEQUENCE: pl.Int64, REMOVED: pl.Boolean}


def slice_name(schema: TableSchema, key: str) -> str:
    """The name of a slice in the seals of its files."""
    return f"{schema.name} {key}"


def vet(path: str, schema: TableSchema, key: str) -> bool:
    """Makes sure that a file of a slice can be read, and that its rows are possible.

    Returns:
        Whether it has a seal; a file without one is read whole again by each process.

    Raises:
        SliceDamaged: it cannot be read, or a row is impossible.
        FileNotFoundError: it is not there (any more).
    """
    identity = (path, slice_name(schema, key))
    try:
        status = os.lstat(path)
        state, is_sealed = _vetted.get(identity, (None, False))
        if state == _state(status):
            return is_sealed
        if not stat.S_ISREG(status.st_mode):
            raise _damage(path, "it is no regular file")
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb", buffering=0) as file:
            is_sealed = _vet_open(file, path, schema, key)
            status = os.fstat(file.fileno())
    except FileNotFoundError:
        raise
    except OSError as error:
        raise unreadable(path, error) from error
    if len(_vetted) >= _MOST_VETTED:
        _vetted.clear()
    _vetted[identity] = _state(status), is_sealed
    return is_sealed


def diagnose(path: str, schema: TableSchema, key: str) -> None:
    """Reads a file of a slice whole, whatever its seal says, after reading it has failed.

    Raises:
        SliceDamaged: something is wrong with it.
        FileNotFoundError: it is not there any more.
    """
    try:
        _vet_whole(path, schema, key)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: str, error: OSError) -> SliceDamaged:
    """The error to raise when the system does not let us read."""
    return SliceDamaged(f"{path} cannot be read ({error.strerror}); let this user read it, and check that disk")


def _vet_open(file: BinaryIO, path: str, schema: TableSchema, key: str) -> bool:
    seal = seals.read_seal(file.fileno())
    if seal is None:
        _vet_whole(path, schema, key)
    elif not seal.holds:
        raise _damage(path, "its bytes are not those that were written")
    elif seal.slice != slice_name(schema, key):
        raise _damage(path, f"it was written as a part of {plain(seal.slice)}")
    return seal is not None


def _vet_whole(path: str, schema: TableSchema, key: str) -> None:
    import pyarrow as pa  # 0.6 s; only for files without a seal, and for what is wrong with others

    try:
        rows = _as_polars(_read(path), path, schema)
    except OSError as error:
        if error.errno is not None:  # the system's own error; Arrow's errors about a file's bytes have no number
            raise
        raise _damage(path, _one_line(error)) from error
    except (pa.ArrowException, pl.exceptions.PolarsError, ValueError, TypeError, KeyError, MemoryError) as error:
        raise _damage(path, _one_line(error)) from error
    except pl.exceptions.PanicException as panic:
        raise _damage(path, _one_line(panic)) from panic
    identity = list(dict.fromkeys(("timelapse", *schema.key)))
    standing = rows.filter(~pl.col(REMOVED)).select(pl.concat_str(identity, separator="\0", ignore_nulls=True).hash())
    fault = soundness.fault_in(rows, schema, key, removed=REMOVED)
    if fault is None and (rows[SEQUENCE].null_count() or rows[REMOVED].null_count()):
        fault = f"{SEQUENCE} or {REMOVED} is empty"
    if fault is None and standing.to_series().n_unique() < standing.height:
        fault = "two of them have the same key"
    if fault is not None:
        raise _damage(path, f"it holds impossible rows: {fault}")


def _read(path: str) -> "pa.Table":
    """Reads all rows of a file, if the row counts in its footer agree with each other."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, pre_buffer=True) as parquet:
        footer = parquet.metadata
        groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
        for group in groups:
            counts = {group.column(number).num_values for number in range(group.num_columns)}
            if group.num_rows > ROW_GROUP or counts - {group.num_rows}:
                raise ValueError(f"its footer says that a group has {group.num_rows} rows")
        if sum(group.num_rows for group in groups) != footer.num_rows:
            raise ValueError(f"its footer says that it has {footer.num_rows} rows")
        table = parquet.read()
    table.validate(full=True)
    return table


def _as_polars(table: "pa.Table", path: str, schema: TableSchema) -> pl.DataFrame:
    wanted = stored(schema)
    extra = [name for name in table.column_names if name not in wanted]
    if extra:
        raise SliceDamaged(
            f"{path} has a column {plain(extra[0], most=100)} that this version does not know: a newer version of this "
            f"program wrote it; use that version, or delete its folder: {_REFOUND}"
        )
    empty = pl.from_arrow(table.schema.empty_table())
    assert isinstance(empty, pl.DataFrame)
    lacking = [
        name for name in ("timelapse", *schema.key, *schema.always, SEQUENCE, REMOVED) if name not in empty.columns
    ]
    if lacking:
        raise _damage(path, f"it lacks the column {lacking[0]}")
    for name, kind in empty.schema.items():
        if kind != wanted[name]:
            raise _damage(path, f"its column {name} is of type {kind}, not {wanted[name]}")
    rows = pl.from_arrow(table)
    assert isinstance(rows, pl.DataFrame)
    absent = [pl.lit(None, kind).alias(name) for name, kind in wanted.items() if name not in rows.columns]
    return rows.with_columns(absent)


def _damage(path: str, cause: str) -> SliceDamaged:
    return SliceDamaged(f"{path} cannot be read ({cause}); restore it, or delete its folder: {_REFOUND}")


def _one_line(error: BaseException) -> str:
    return plain(" ".join(str(error).split()), most=300)


def _state(status: os.stat_result) -> _State:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
