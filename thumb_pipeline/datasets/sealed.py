"""Tables in a single sealed file, outside the slices: the rows of a work order, and the files a removal was to take.

A valid seal proves that this program wrote the file; only then is it given to Polars (`seals`). A file without a seal
is from an earlier version: pyarrow reads it, which survives damaged files.
"""

import io
import os
import stat
from collections.abc import Mapping

import polars as pl

from thumb_pipeline.datasets import seals
from thumb_pipeline.datasets.vetting import SliceDamaged
from thumb_pipeline.domain.plain_text import plain

Columns = Mapping[str, pl.DataType | type[pl.DataType]]


def written(rows: pl.DataFrame, name: str) -> bytes:
    """The bytes of a file with some rows.

    Args:
        rows: with any columns.
        name: what the file is, so that it is not taken for another one.
    """
    buffer = io.BytesIO()
    rows.write_parquet(buffer, compression="zstd", compression_level=1, metadata=seals.metadata(name))
    return seals.sealed(buffer.getvalue())


def read(path: str, columns: Columns, name: str, *, where: pl.Expr | None = None) -> pl.DataFrame:
    """The rows of a file.

    Args:
        path: of the file.
        columns: the columns wanted; one that an earlier version did not write is null.
        name: as in `written`.
        where: only rows for which this holds.

    Raises:
        FileNotFoundError: it is not there.
        SliceDamaged: it cannot be used; the message says why.
    """
    try:
        rows = _read(path, name)
        given = [
            pl.col(column) if column in rows.collect_schema() else pl.lit(None).alias(column) for column in columns
        ]
        wanted = rows.select(given).select(pl.col(column).cast(kind) for column, kind in columns.items())
        return (wanted if where is None else wanted.filter(where)).collect()
    except FileNotFoundError:
        raise
    except (OSError, ValueError, TypeError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise SliceDamaged(f"{path} cannot be used ({plain(str(error), most=300)})") from error


def _read(path: str, name: str) -> pl.LazyFrame:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # nothing else holds rows, and reading a pipe could block
            raise SliceDamaged(f"{path} is no regular file")
        seal = seals.read_seal(descriptor)
    finally:
        os.close(descriptor)
    if seal is None:
        return _read_unsealed(path).lazy()
    if not seal.holds:
        raise SliceDamaged(f"{path} is damaged: its bytes are not those that were written")
    if seal.slice != name:
        raise SliceDamaged(f"{path} was written as {plain(seal.slice)}")
    return pl.scan_parquet(path, glob=False)


def _read_unsealed(path: str) -> pl.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, partitioning=None)
        table.validate(full=True)
        rows = pl.from_arrow(table)
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error
    assert isinstance(rows, pl.DataFrame)
    return rows
