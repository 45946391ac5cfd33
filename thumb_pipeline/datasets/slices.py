"""Reads slices of a table, and merges rows into them.

A slice is a folder of Parquet files named `FIRST-LAST.parquet` after the merges they hold; a file whose range lies
inside another's is superseded. One merge adds one small file by one rename, so readers need no lock and see whole
merges only; now and then the small files are folded together. A merge changes only the rows that it is given,
so nobody overwrites a slice with an older copy of it.

Publishing and locking are passed in as functions: this package knows Parquet, `storage` knows disks.
"""

import io
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace

import polars as pl

from thumb_pipeline.datasets import seals, soundness
from thumb_pipeline.datasets.schemas import WHOLE_LIBRARY, TableSchema
from thumb_pipeline.datasets.vetting import (
    REMOVED,
    ROW_GROUP,
    SEQUENCE,
    SliceDamaged,
    diagnose,
    slice_name,
    stored,
    unreadable,
    vet,
)
from thumb_pipeline.domain.layout import is_key
from thumb_pipeline.domain.names import temporary_writer
from thumb_pipeline.domain.paths import inside

__all__ = ["MERGE", "Resolve", "SliceDamaged", "Table"]

MERGE = SEQUENCE
"""The column of the rows in `query` with the number of the merge that wrote a row: an order that needs no clock."""

_FILE = re.compile(r"([0-9]{10})-([0-9]{10})\.parquet")
_LAST = 10**10 - 1
_LOCK = ".lock"
_MAX_SMALL_FILES = 16
_READ_ATTEMPTS = 20


Resolve = Callable[[pl.DataFrame, pl.DataFrame], pl.DataFrame]
"""(current rows with the incoming keys, incoming rows) -> the rows to write."""


@dataclass(frozen=True, slots=True)
class _File:
    key: str
    path: str
    first: int
    last: int
    is_sealed: bool = False

    @property
    def is_base(self) -> bool:
        return self.first == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table below `root`, its slices in `root/<table>/<timelapse key>/`.

    Attributes:
        publish: writes bytes under a path atomically, and makes them survive a power cut.
        locked: holds an exclusive lock on a path, and makes its folder if needed; released when the process ends.
    """

    schema: TableSchema
    root: str
    publish: Callable[[bytes, bytes], object]
    locked: Callable[[str], AbstractContextManager[None]]

    def keys(self) -> list[str]:
        """Keys of the timelapses that have a slice."""
        top = inside(self.root, self.schema.name)
        keys = []
        for camera in _list_subfolders(top):
            keys += [f"{camera}/{timelapse}" for timelapse in _list_subfolders(inside(top, camera))]
        return sorted(key for key in keys if self._is_key(key) and _is_slice(self._folder(key)))

    def holds(self, key: str) -> bool:
        """Whether there is a folder for a timelapse's slice; without one it has no rows. Costs next to nothing."""
        return os.path.isdir(self._folder(key))

    def last_merge(self, key: str) -> int:
        """The number of the last merge into a slice, 0 before the first; later merges have higher numbers."""
        return max((file.last for file in _list_active(self._folder(key), key)), default=0)

    def read(
        self, keys: Sequence[str], *, names: Sequence[str] | None = None, where: pl.Expr | None = None
    ) -> pl.DataFrame:
        """The current rows of some timelapses, in no particular order.

        Args:
            keys: the timelapses; one without a slice has no rows.
            names: only rows of these sources. The cost depends on the row groups that hold them, not on the slice.
            where: only rows for which this holds.

        Raises:
            SliceDamaged: a file of theirs cannot be used.
        """
        columns = list(self.schema.columns)
        return self.query(
            keys, lambda rows: (rows if where is None else rows.filter(where)).select(columns), names=names
        )

    def query(
        self, keys: Sequence[str], ask: Callable[[pl.LazyFrame], pl.LazyFrame], *, names: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """The result of a query over the current rows; only what it needs is read.

        Args:
            keys: the timelapses.
            ask: the query, as a function of the rows, which also have the column `MERGE`.
            names: only rows of these sources.

        Raises:
            SliceDamaged: a file of theirs cannot be used.
        """
        for _ in range(_READ_ATTEMPTS):
            try:
                files = [file for key in keys for file in self._vet_files(key)]
                with self._diagnose_errors(files):
                    return ask(self._scan_rows(files, names)).collect()
            except FileNotFoundError:
                continue  # a merge folded the file while we read: list again
        raise FileNotFoundError(f"{self.root}/{self.schema.name} changes faster than it can be read; repeat")

    def merge(
        self, key: str, rows: pl.DataFrame, *, removed: pl.DataFrame | None = None, resolve: Resolve | None = None
    ) -> None:
        """Adds rows to a slice; each replaces the row with the same key.

        Args:
            key: the timelapse.
            rows: of this table's schema, unique by its key.
            removed: key columns of rows to take out.
            resolve: decides under the lock which rows are written, given the current ones.

        Raises:
            SliceDamaged: a file of the slice cannot be used, or a row is impossible; nothing is changed.
        """
        with self.locked(inside(self._folder(key), _LOCK)):
            files = self._vet_files(key)
            if resolve is not None:
                rows = resolve(self._read_current(files, rows), rows)
            self._add(key, files, self._batch(key, rows, removed))

    def replace(self, key: str, rows: pl.DataFrame, timelapses: Sequence[str]) -> None:
        """Replaces all rows of some timelapses, also those that were merged a moment ago.

        Args:
            key: of the slice.
            rows: as for `merge`, of these timelapses.
            timelapses: whose rows are replaced; one without rows in `rows` has none afterwards.

        Raises:
            SliceDamaged: as `merge`.
        """
        identity = self._identity()
        with self.locked(inside(self._folder(key), _LOCK)):
            files = self._vet_files(key)
            with self._diagnose_errors(files):
                standing = self._scan_rows(files, None).filter(pl.col("timelapse").is_in(list(timelapses)))
                gone = standing.select(identity).collect().join(rows, on=identity, how="anti")
            self._add(key, files, self._batch(key, rows, gone))

    def drop(self, key: str, *, only_if_empty: bool = False) -> bool:
        """Removes the files of a slice: its timelapse then has no rows, and is not among `keys`.

        The folder stays, with the lock file in it. Otherwise a merge that waits would get its lock on the deleted
        file, while another merge holds the lock on a new one.

        Args:
            key: the timelapse.
            only_if_empty: keeps a slice that has rows, also if they were merged a moment ago.

        Returns:
            Whether the slice is gone.

        Raises:
            SliceDamaged: a file of the slice cannot be removed, or, with `only_if_empty`, cannot be used.
        """
        folder = self._folder(key)
        if not os.path.isdir(folder):
            return True
        with self.locked(inside(folder, _LOCK)):
            if only_if_empty and self._holds_rows(key):
                return False
            # A kill in between must not bring back superseded or removed rows: files that may record removals go last.
            active = [os.path.basename(file.path) for file in _list_active(folder, key)]
            for name in [*(name for name in _list_ours(folder) if name not in active), *active]:
                _unlink(inside(folder, name))
        return True

    def take_out(self, key: str, rows: pl.DataFrame) -> None:
        """Takes out those rows of a slice that are still as they were read; a row that was merged since stays.

        Args:
            key: the timelapse.
            rows: whole rows, as `read` gave them.

        Raises:
            SliceDamaged: a file of the slice cannot be used; nothing is changed.
        """
        folder = self._folder(key)
        if rows.is_empty() or not os.path.isdir(folder):
            return
        with self.locked(inside(folder, _LOCK)):
            files = self._vet_files(key)
            on = list(self.schema.columns)
            gone = rows.join(self._read_current(files, rows), on=on, how="semi", nulls_equal=True)
            self._add(key, files, self._batch(key, rows.head(0), gone))

    def _vet_files(self, key: str) -> list[_File]:
        """Lists the files of a slice and makes sure that each can be read."""
        files = _list_active(self._folder(key), key)
        return [replace(file, is_sealed=vet(file.path, self.schema, key)) for file in files]

    @contextmanager
    def _diagnose_errors(self, files: Sequence[_File]) -> Iterator[None]:
        """Names the damaged file if reading in the block fails; other errors are raised as they are."""
        try:
            yield
        except FileNotFoundError:
            raise
        except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            for file in files:
                diagnose(file.path, self.schema, file.key)
            if isinstance(error, pl.exceptions.PolarsError) and not isinstance(error, pl.exceptions.ComputeError):
                raise  # an error in the query: our own fault
            raise SliceDamaged(f"{self.root}/{self.schema.name} cannot be read ({error}); check that disk") from error

    def _holds_rows(self, key: str) -> bool:
        files = self._vet_files(key)
        with self._diagnose_errors(files):
            return not self._scan_rows(files, None).head(1).collect().is_empty()

    def _read_current(self, files: list[_File], rows: pl.DataFrame) -> pl.DataFrame:
        names = rows["source_name"].unique().to_list()
        with self._diagnose_errors(files):
            return self._scan_rows(files, names).select(list(self.schema.columns)).collect()

    def _scan_rows(self, files: list[_File], names: Sequence[str] | None) -> pl.LazyFrame:
        chosen = pl.lit(True) if names is None else pl.col("source_name").is_in(pl.lit(pl.Series(names)).implode())
        base = self._scan([file.path for file in files if file.is_base]).filter(chosen)
        small = [file.path for file in files if not file.is_base]
        if not small:
            return base
        newest = self._newest(self._scan(small).filter(chosen)).lazy()
        return pl.concat([base.join(newest, on=self._identity(), how="anti"), newest.filter(~pl.col(REMOVED))])

    def _scan(self, paths: list[str]) -> pl.LazyFrame:
        if not paths:
            return pl.LazyFrame(schema=stored(self.schema))
        return pl.scan_parquet(paths, schema=stored(self.schema), glob=False, missing_columns="insert")

    def _batch(self, key: str, rows: pl.DataFrame, removed: pl.DataFrame | None) -> pl.DataFrame:
        """The rows that a merge writes, without its number.

        Raises:
            SliceDamaged: a row is impossible or belongs to another slice: writing it would damage the table.
        """
        types = self.schema.columns
        parts = [rows.select(pl.col(c).cast(kind) for c, kind in types.items()).with_columns(_flag(removed=False))]
        if removed is not None:
            given = [pl.col(c) if c in removed.columns else pl.lit(None).alias(c) for c in types]
            gone = removed.select(given).select(pl.col(c).cast(kind) for c, kind in types.items())
            parts.append(gone.with_columns(_flag(removed=True)))
        batch = pl.concat(parts)
        fault = soundness.fault_in(batch, self.schema, key, removed=REMOVED)
        if fault is not None:
            raise SliceDamaged(f"{self._folder(key)} cannot take impossible rows: {fault}; nothing was recorded")
        return batch

    def _add(self, key: str, files: list[_File], batch: pl.DataFrame) -> None:
        """Writes a merge; folds the slice to a base and few small files when that is due.

        The base is rewritten only when a quarter of it would change, so a merge writes O(its rows), amortised.
        """
        if batch.is_empty():
            return
        folder, number = self._folder(key), max((file.last for file in files), default=0) + 1
        if number > _LAST:
            raise SliceDamaged(f"{files[-1].path} has a number too high for a merge; delete it, or its folder")
        batch = batch.with_columns(pl.lit(number, pl.Int64).alias(SEQUENCE))
        with self._diagnose_errors(files):
            first, rows = self._fold(files, batch, number)
        _remove_superseded(folder, self._write(key, rows, first, number), key)

    def _fold(self, files: list[_File], batch: pl.DataFrame, number: int) -> tuple[int, pl.DataFrame]:
        """The first merge number and the rows of the next file; rows in files without a seal are written anew."""
        small = [file for file in files if not file.is_base]
        n_base = self._count_rows([file for file in files if file.is_base])
        if not all(file.is_sealed for file in files) or (self._count_rows(small) + batch.height) * 4 >= n_base:
            return 0, self._merge_over(files, batch)
        if len(small) >= _MAX_SMALL_FILES:
            earlier = self._scan([file.path for file in small]).collect()
            return small[0].first, self._newest(pl.concat([earlier.select(batch.columns), batch]).lazy())
        return number, batch

    def _merge_over(self, files: list[_File], batch: pl.DataFrame) -> pl.DataFrame:
        """Reads all current rows, and merges a batch over them."""
        identity = self._identity()
        newest = self._newest(batch.lazy())
        kept = self._scan_rows(files, None).select(batch.columns).collect().join(newest, on=identity, how="anti")
        return pl.concat([kept, newest.filter(~pl.col(REMOVED))])

    def _count_rows(self, files: list[_File]) -> int:
        return int(self._scan([file.path for file in files]).select(pl.len()).collect().item())

    def _newest(self, rows: pl.LazyFrame) -> pl.DataFrame:
        return rows.sort(SEQUENCE, maintain_order=True).unique(self._identity(), keep="last").collect()

    def _identity(self) -> list[str]:
        return list(dict.fromkeys(("timelapse", *self.schema.key)))

    def _write(self, key: str, rows: pl.DataFrame, first: int, last: int) -> str:
        buffer = io.BytesIO()
        rows.select(list(stored(self.schema))).sort(*self.schema.key).write_parquet(
            buffer,
            compression="zstd",
            compression_level=1,
            row_group_size=ROW_GROUP,
            metadata=seals.metadata(slice_name(self.schema, key)),
        )
        name = f"{first:010d}-{last:010d}.parquet"
        self.publish(os.fsencode(inside(self._folder(key), name)), seals.sealed(buffer.getvalue()))
        return name

    def _folder(self, key: str) -> str:
        """The folder of a slice.

        Raises:
            ValueError: the table can have no such slice; the key would become part of a path.
        """
        if not self._is_key(key):
            raise ValueError(f"{key!r} is no slice of the table {self.schema.name}")
        return inside(self.root, self.schema.name, *key.split("/"))

    def _is_key(self, key: str) -> bool:
        return key == WHOLE_LIBRARY if self.schema.is_of_library else is_key(key)


def _list_active(folder: str, key: str) -> list[_File]:
    """Lists the files of a slice that no other file supersedes, oldest merge first."""
    matches = [(name, match) for name in _list_ours(folder) if (match := _FILE.fullmatch(name))]
    files = [_File(key, inside(folder, name), int(match[1]), int(match[2])) for name, match in matches]
    active: list[_File] = []
    for file in sorted(files, key=lambda file: (file.first, -file.last)):
        if file.first <= file.last and (not active or file.last > active[-1].last):
            active.append(file)
    return active


def _list_ours(folder: str) -> list[str]:
    """Lists the names of our own files in a slice's folder, unfinished ones included, without the lock."""
    try:
        return sorted(n for n in os.listdir(folder) if _FILE.fullmatch(n) or _is_unfinished(n))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable(folder, error) from error


def _is_unfinished(name: str) -> bool:
    return temporary_writer(os.fsencode(name)) == "dataset"  # the writer under which `stages.library` publishes tables


def _is_slice(folder: str) -> bool:
    """Whether there is a slice in a folder. One that cannot be listed counts as a slice: reading it gives the error."""
    try:
        return any(_FILE.fullmatch(name) for name in os.listdir(folder))
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _flag(*, removed: bool) -> pl.Expr:
    return pl.lit(removed).alias(REMOVED)


def _remove_superseded(folder: str, published: str, key: str) -> None:
    """Removes, under the lock, all our files except the active ones: superseded and unfinished ones."""
    keep = {os.path.basename(file.path) for file in _list_active(folder, key)}
    if published not in keep:
        raise FileNotFoundError(f"{folder}/{published} vanished after it was written; check that disk")
    for name in _list_ours(folder):
        if name not in keep:
            _unlink(inside(folder, name))


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return  # somebody else removed it
    except OSError as error:
        raise SliceDamaged(
            f"{path} cannot be removed ({error.strerror}); move it away, then run the same command again"
        ) from error


def _list_subfolders(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_dir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable(folder, error) from error
