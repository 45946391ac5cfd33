"""Reads slices of a table, and merges rows into them.

A slice is a folder of Parquet files named `FIRST-LAST.parquet` after the merges they hold; a file whose range lies
inside another's is superseded. One merge adds one small file by one rename, so readers need no lock and see whole
merges only; now and then the small files are folded together. Nothing is ever replaced by what a caller read earlier.

Publishing and locking are handed in: this package knows Parquet, `storage` knows disks.
"""

import io
import os
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import polars as pl

from thumb_pipeline.datasets.schemas import TableSchema

_FILE = re.compile(r"(\d{10})-(\d{10})\.parquet")
_SEQUENCE = "_sequence"
MERGE = _SEQUENCE
"""The column, in what `query` asks about, with the number of the merge that wrote a row: an order without a clock."""

_REMOVED = "_removed"
_LOCK = ".lock"
_MAX_SMALL_FILES = 16
_ROW_GROUP = 32_768
_READ_ATTEMPTS = 20


class SliceDamaged(Exception):
    """A table's file cannot be read; the message names it and says what can be done."""


Resolve = Callable[[pl.DataFrame, pl.DataFrame], pl.DataFrame]
"""(current rows with the incoming keys, incoming rows) -> the rows to write."""


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    first: int
    last: int

    @property
    def is_base(self) -> bool:
        return self.first == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table below `root`, its slices in `root/<table>/<timelapse key>/`.

    Attributes:
        publish: writes bytes under a path, whole, and makes them survive a power cut.
        locked: an exclusive lock on a path, whose folder it makes if needed; released with the process.
    """

    schema: TableSchema
    root: str
    publish: Callable[[bytes, bytes], object]
    locked: Callable[[str], AbstractContextManager[None]]

    def keys(self) -> list[str]:
        """Keys of the timelapses that have a slice."""
        top = os.path.join(self.root, self.schema.name)
        found = []
        for camera in _subfolders(top):
            found += [f"{camera}/{timelapse}" for timelapse in _subfolders(os.path.join(top, camera))]
        return sorted(key for key in found if _is_slice(self._folder(key)))

    def holds(self, key: str) -> bool:
        """Whether a timelapse has a slice; next to nothing to ask."""
        return os.path.isdir(self._folder(key))

    def last_merge(self, key: str) -> int:
        """The number of the last merge into a slice, 0 before the first; what is merged later has a higher one."""
        return max((file.last for file in _active(self._folder(key))), default=0)

    def read(
        self, keys: Sequence[str], *, names: Sequence[str] | None = None, where: pl.Expr | None = None
    ) -> pl.DataFrame:
        """The current rows of some timelapses, in no particular order.

        Args:
            keys: whose; one without a slice has no rows.
            names: only rows of these sources. Costs by the row groups they lie in, not by the slice.
            where: only rows for which this holds.
        """
        columns = list(self.schema.columns)
        return self.query(
            keys, lambda rows: (rows if where is None else rows.filter(where)).select(columns), names=names
        )

    def query(
        self, keys: Sequence[str], ask: Callable[[pl.LazyFrame], pl.LazyFrame], *, names: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """The answer to a question about the current rows; only what it needs is read.

        Args:
            keys: the timelapses.
            ask: the question, as a function of the rows; they have the column `MERGE`, too.
            names: only about these sources.
        """
        for _ in range(_READ_ATTEMPTS):
            files = [file for key in keys for file in _active(self._folder(key))]
            try:
                return ask(self._rows(files, names)).collect()
            except FileNotFoundError:
                continue  # folded away while we read: look again
            except pl.exceptions.ComputeError as error:
                raise SliceDamaged(_damage(files, error)) from error
        raise FileNotFoundError(f"{self.root}/{self.schema.name} changes faster than it can be read; repeat")

    def merge(
        self, key: str, rows: pl.DataFrame, *, removed: pl.DataFrame | None = None, resolve: Resolve | None = None
    ) -> None:
        """Adds rows to a slice, each in the place of the one with its key.

        Args:
            key: the timelapse.
            rows: of this table's schema, unique by its key.
            removed: key columns of rows to take out.
            resolve: decides under the lock what is written, given what stands there now.
        """
        folder = self._folder(key)
        with self.locked(os.path.join(folder, _LOCK)):
            files = _active(folder)
            if resolve is not None:
                rows = resolve(self._current(files, rows), rows)
            batch = self._batch(rows, removed)
            if not batch.is_empty():
                number = max((file.last for file in files), default=0) + 1
                self._add(folder, files, batch.with_columns(pl.lit(number, pl.Int64).alias(_SEQUENCE)), number)

    def drop(self, key: str, *, only_if_empty: bool = False) -> bool:
        """Forgets a slice: its timelapse then has no rows, and is not among `keys`.

        Its folder stays, with the lock in it: a merge that waits for the lock would else hold it on a file that is
        gone, beside another that holds its successor.

        Args:
            key: the timelapse.
            only_if_empty: leaves a slice alone that has rows, also when they came a moment ago.

        Returns:
            Whether the slice is gone.
        """
        folder = self._folder(key)
        if not os.path.isdir(folder):
            return True
        with self.locked(os.path.join(folder, _LOCK)):
            files = _active(folder)
            if only_if_empty and not self._rows(files, None).head(1).collect().is_empty():
                return False
            # A kill in between must not bring back what was superseded or removed: what takes out goes last.
            active = [os.path.basename(file.path) for file in files]
            for name in [*sorted(set(os.listdir(folder)) - {_LOCK, *active}), *active]:
                os.unlink(os.path.join(folder, name))
        return True

    def take_out(self, key: str, rows: pl.DataFrame) -> None:
        """Takes out those rows of a slice that still are as they were read; one that was merged since stays.

        Args:
            key: the timelapse.
            rows: whole rows, as `read` gave them.
        """
        folder = self._folder(key)
        if rows.is_empty() or not os.path.isdir(folder):
            return
        with self.locked(os.path.join(folder, _LOCK)):
            files = _active(folder)
            on = list(self.schema.columns)
            gone = rows.join(self._current(files, rows), on=on, how="semi", nulls_equal=True)
            if not gone.is_empty():
                number = max((file.last for file in files), default=0) + 1
                batch = self._batch(rows.head(0), gone)
                self._add(folder, files, batch.with_columns(pl.lit(number, pl.Int64).alias(_SEQUENCE)), number)

    def _current(self, files: list[_File], rows: pl.DataFrame) -> pl.DataFrame:
        names = rows["source_name"].unique().to_list()
        return self._rows(files, names).select(list(self.schema.columns)).collect()

    def _rows(self, files: list[_File], names: Sequence[str] | None) -> pl.LazyFrame:
        chosen = pl.lit(True) if names is None else pl.col("source_name").is_in(pl.lit(pl.Series(names)).implode())
        base = self._scan([file.path for file in files if file.is_base]).filter(chosen)
        small = [file.path for file in files if not file.is_base]
        if not small:
            return base
        newest = self._newest(self._scan(small).filter(chosen)).lazy()
        return pl.concat([base.join(newest, on=self._identity(), how="anti"), newest.filter(~pl.col(_REMOVED))])

    def _scan(self, paths: list[str]) -> pl.LazyFrame:
        if not paths:
            return pl.LazyFrame(schema=self._stored())
        return pl.scan_parquet(paths, schema=self._stored(), glob=False, missing_columns="insert")

    def _batch(self, rows: pl.DataFrame, removed: pl.DataFrame | None) -> pl.DataFrame:
        types = self.schema.columns
        parts = [rows.select(pl.col(c).cast(kind) for c, kind in types.items()).with_columns(_flag(removed=False))]
        if removed is not None:
            given = [pl.col(c) if c in removed.columns else pl.lit(None).alias(c) for c in types]
            gone = removed.select(given).select(pl.col(c).cast(kind) for c, kind in types.items())
            parts.append(gone.with_columns(_flag(removed=True)))
        return pl.concat(parts)

    def _add(self, folder: str, files: list[_File], batch: pl.DataFrame, number: int) -> None:
        """Writes a merge, folding the slice to a base and few small files when it is due.

        The base is rewritten only when a quarter of it would change, so a merge writes O(its rows), amortised.
        """
        small = [file for file in files if not file.is_base]
        n_base = self._n_rows([file for file in files if file.is_base])
        if (self._n_rows(small) + batch.height) * 4 >= n_base:
            published = self._write(folder, self._over(files, batch), 0, number)
        elif len(small) >= _MAX_SMALL_FILES:
            earlier = self._scan([file.path for file in small]).collect()
            newest = self._newest(pl.concat([earlier.select(batch.columns), batch]).lazy())
            published = self._write(folder, newest, small[0].first, number)
        else:
            published = self._write(folder, batch, number, number)
        _remove_superseded(folder, published)

    def _over(self, files: list[_File], batch: pl.DataFrame) -> pl.DataFrame:
        """All current rows with a batch merged over them."""
        identity = self._identity()
        newest = self._newest(batch.lazy())
        kept = self._rows(files, None).select(batch.columns).collect().join(newest, on=identity, how="anti")
        return pl.concat([kept, newest.filter(~pl.col(_REMOVED))])

    def _n_rows(self, files: list[_File]) -> int:
        return int(self._scan([file.path for file in files]).select(pl.len()).collect().item())

    def _newest(self, rows: pl.LazyFrame) -> pl.DataFrame:
        return rows.sort(_SEQUENCE, maintain_order=True).unique(self._identity(), keep="last").collect()

    def _identity(self) -> list[str]:
        return list(dict.fromkeys(("timelapse", *self.schema.key)))

    def _stored(self) -> dict[str, pl.DataType | type[pl.DataType]]:
        return {**self.schema.columns, _SEQUENCE: pl.Int64, _REMOVED: pl.Boolean}

    def _write(self, folder: str, rows: pl.DataFrame, first: int, last: int) -> str:
        buffer = io.BytesIO()
        rows.select(list(self._stored())).sort(*self.schema.key).write_parquet(
            buffer, compression="zstd", compression_level=1, row_group_size=_ROW_GROUP
        )
        name = f"{first:010d}-{last:010d}.parquet"
        self.publish(os.fsencode(os.path.join(folder, name)), buffer.getvalue())
        return name

    def _folder(self, key: str) -> str:
        return os.path.join(self.root, self.schema.name, key)


def _active(folder: str) -> list[_File]:
    """The files of a slice that no other supersedes, oldest merge first."""
    try:
        found = [(_FILE.fullmatch(name), name) for name in os.listdir(folder)]
    except FileNotFoundError:
        return []
    files = [_File(os.path.join(folder, name), int(m[1]), int(m[2])) for m, name in found if m]
    active: list[_File] = []
    for file in sorted(files, key=lambda file: (file.first, -file.last)):
        if not active or file.last > active[-1].last:
            active.append(file)
    return active


def _is_slice(folder: str) -> bool:
    return any(_FILE.fullmatch(name) for name in os.listdir(folder))


def _flag(*, removed: bool) -> pl.Expr:
    return pl.lit(removed).alias(_REMOVED)


def _remove_superseded(folder: str, published: str) -> None:
    """Under the lock, everything but the active files goes: what a merge superseded, and what a kill left half done."""
    keep = {os.path.basename(file.path) for file in _active(folder)}
    if published not in keep:
        raise FileNotFoundError(f"{folder}/{published} vanished after it was written; check that disk")
    for name in os.listdir(folder):
        if name != _LOCK and name not in keep:
            os.unlink(os.path.join(folder, name))


def _damage(files: list[_File], error: Exception) -> str:
    for file in files:
        try:
            pl.read_parquet(file.path)
        except (pl.exceptions.ComputeError, OSError) as cause:
            return (
                f"{file.path} cannot be read ({cause}); restore it, or delete its folder: what it recorded is then "
                "found again from the files themselves, without rendering"
            )
    return f"a table cannot be read: {error}"


def _subfolders(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_dir()]
    except FileNotFoundError:
        return []
