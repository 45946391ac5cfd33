"""Merges what rendering did into the manifest, refusals with the time of their next try, and notes when that is.

The manifest is the truth; a note beside what watchers remember saves them from asking it before something is due. A
lost note costs a retry until the next whole `generate`. Which refusals stand until then is decided in `compare`, who
comes back at that time in `due_retries`.
"""

import contextlib
import os
from collections.abc import Sequence
from datetime import datetime

import polars as pl

from thumb_pipeline.analytics.retries import TRANSIENT, with_retries
from thumb_pipeline.stages.library import Library
from thumb_pipeline.storage import publishing

_SLASH = "+"  # in the name of a note; no key has one


def merge_outcomes(library: Library, key: str, rows: pl.DataFrame, *, removed: pl.DataFrame | None = None) -> None:
    """Merges manifest rows of one timelapse; refused sources are counted on from what the manifest says of them.

    Args:
        library: the library.
        key: the timelapse.
        rows: what rendering did (`MANIFEST` columns).
        removed: key columns of rows to take out.
    """
    delays_s = library.settings.retries.delays_s

    def resolve(current: pl.DataFrame, incoming: pl.DataFrame) -> pl.DataFrame:
        return with_retries(incoming.lazy(), current.lazy(), delays_s=delays_s).collect()

    is_any_refused = (rows["state"] == "failed").any()
    library.manifest.merge(key, rows, removed=removed, resolve=resolve if is_any_refused else None)
    if rows["reason"].is_in(TRANSIENT).any():
        _note(library, key)


def retries_of(library: Library, keys: Sequence[str]) -> pl.DataFrame:
    """The refused sources of some timelapses that will be tried again: `timelapse`, `source_name`, `retry_at`."""
    is_waiting = (pl.col("state") == "failed") & pl.col("retry_at").is_not_null()
    return library.manifest.query(
        keys,
        lambda rows: (
            rows.filter(is_waiting)
            .group_by("timelapse", "source_name")
            .agg(pl.col("retry_at").min())
            .sort("retry_at", "timelapse", "source_name")
        ),
    )


def next_retry_at(library: Library, keys: Sequence[str]) -> datetime | None:
    """When the first refused source of some timelapses may be tried again, past or future; None where none will be."""
    found: datetime | None = retries_of(library, keys)["retry_at"].min()  # type: ignore[assignment]  # of a time column
    return found


def notes(library: Library) -> dict[str, int]:
    """The timelapses of which something was noted, and when (mtime in ns) their notes were written."""
    try:
        with os.scandir(_folder(library)) as entries:
            names = [entry for entry in entries if not entry.name.startswith(".")]
            return {entry.name.replace(_SLASH, "/"): entry.stat().st_mtime_ns for entry in names}
    except FileNotFoundError:
        return {}


def noted_s(library: Library, key: str) -> float:
    """When a note says that something is due, in seconds since 1970; at once where it says nothing of use."""
    try:
        with open(_path(library, key), encoding="ascii") as file:
            return float(file.read())
    except (OSError, ValueError):
        return 0.0


def discard_note(library: Library, key: str) -> None:
    """Removes the note of a timelapse in which nothing will be tried again."""
    with library.locked(_lock(library)):
        if next_retry_at(library, [key]) is None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(_path(library, key))


def _note(library: Library, key: str) -> None:
    with library.locked(_lock(library)):  # of two processes the later one knows what both have merged
        due_at = next_retry_at(library, [key])
        if due_at is not None:
            publishing.publish(os.fsencode(_path(library, key)), str(due_at.timestamp()).encode(), writer="watch")


def _folder(library: Library) -> str:
    return os.path.join(library.watch, "retries")


def _lock(library: Library) -> str:
    return os.path.join(_folder(library), ".lock")


def _path(library: Library, key: str) -> str:
    return os.path.join(_folder(library), key.replace("/", _SLASH))
