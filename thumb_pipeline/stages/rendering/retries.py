"""Merges what rendering did into the manifest, refusals with the time of their next try, and notes that time.

The manifest is the truth. A note in the folder of the watchers saves them from reading the manifest before a retry is
due; a lost note delays the retry until the next whole `generate`. `planning.compare_variant` decides which refusals
stand until then, `due_retries` hands out the sources at that time.
"""

import contextlib
import os
import time
from collections.abc import Sequence
from datetime import datetime

import polars as pl

from thumb_pipeline.analytics.retries import TRANSIENT, with_retries
from thumb_pipeline.datasets.schemas import SOURCE_KEY
from thumb_pipeline.domain.layout import is_key
from thumb_pipeline.domain.paths import inside
from thumb_pipeline.domain.plans import RecordState
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.storage import publishing
from thumb_pipeline.storage.reading import read_small
from thumb_pipeline.storage.removing import discard

_SLASH = "+"  # in the name of a note; no key has one
_MOST_N_BYTES = 64
_LATEST_S = 30 * 86_400.0  # no delay of the settings is longer than a week


def merge_outcomes(library: Library, key: str, rows: pl.DataFrame, *, removed: pl.DataFrame | None = None) -> None:
    """Merges manifest rows of one timelapse; the attempts at refused sources are counted on from the manifest.

    Args:
        library: the library.
        key: the timelapse.
        rows: what rendering did (`MANIFEST` columns).
        removed: key columns of rows to take out.
    """
    delays_s = library.settings.retries.delays_s

    def resolve(current: pl.DataFrame, incoming: pl.DataFrame) -> pl.DataFrame:
        return with_retries(incoming.lazy(), current.lazy(), delays_s=delays_s).collect()

    is_any_refused = (rows["state"] == RecordState.FAILED).any()
    library.manifest.merge(key, rows, removed=removed, resolve=resolve if is_any_refused else None)
    if rows["reason"].is_in(TRANSIENT).any():
        _write_note(library, key)


def retries_of(library: Library, keys: Sequence[str]) -> pl.DataFrame:
    """The refused sources of some timelapses that will be tried again: `timelapse`, `source_name`, `retry_at`."""
    is_waiting = (pl.col("state") == RecordState.FAILED) & pl.col("retry_at").is_not_null()
    return library.manifest.query(
        keys,
        lambda rows: (
            rows.filter(is_waiting)
            .group_by(*SOURCE_KEY)
            .agg(pl.col("retry_at").min())
            .sort("retry_at", "timelapse", "source_name")
        ),
    )


def next_retry_at(library: Library, keys: Sequence[str]) -> datetime | None:
    """When the first refused source of some timelapses is to be retried, past or future; None where none will be."""
    first: datetime | None = retries_of(library, keys)["retry_at"].min()  # type: ignore[assignment]  # of a time column
    return first


def list_notes(library: Library) -> dict[str, int]:
    """The timelapses that have a note, and when it was written (mtime in ns)."""
    notes: dict[str, int] = {}
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(_folder(library)) as entries:
        for entry in entries:
            key = entry.name.replace(_SLASH, "/")
            if is_key(key):
                with contextlib.suppress(FileNotFoundError):  # discarded meanwhile
                    notes[key] = entry.stat(follow_symlinks=False).st_mtime_ns
    return notes


def read_due_s(library: Library, key: str) -> float:
    """When a retry is due by a note, in seconds since 1970; 0, which is at once, where the note is unusable."""
    try:
        due_s = float(read_small(_path(library, key), _MOST_N_BYTES))
    except (OSError, ValueError):
        return 0.0
    return due_s if due_s < time.time() + _LATEST_S else 0.0


def discard_note(library: Library, key: str) -> None:
    """Removes the note of a timelapse in which nothing will be tried again."""
    with library.locked(_lock(library)):
        if next_retry_at(library, [key]) is None:
            with contextlib.suppress(OSError):  # a note that stays only costs another look at the manifest
                discard(_path(library, key))


def _write_note(library: Library, key: str) -> None:
    with library.locked(_lock(library)):  # of two processes, the later one sees what both have merged
        due_at = next_retry_at(library, [key])
        if due_at is not None:
            with contextlib.suppress(publishing.NameTaken):  # a folder has this name: as if the note were lost
                publishing.publish(os.fsencode(_path(library, key)), str(due_at.timestamp()).encode(), writer="watch")


def _folder(library: Library) -> str:
    return inside(library.watch, "retries")


def _lock(library: Library) -> str:
    return inside(_folder(library), ".lock")


def _path(library: Library, key: str) -> str:
    return inside(_folder(library), key.replace("/", _SLASH))
