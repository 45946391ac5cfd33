"""Removes Dagster's event index in SQLite if the process that created it was killed before it was complete.

Dagster creates the tables of the index only if its file does not exist yet; it never repairs a file without them.
"""

import contextlib
import os
import sqlite3

from thumb_pipeline.domain.paths import inside
from thumb_pipeline.stages.library.library import Library

_FILLED_BY_DAGSTER = {"alembic_version", "secondary_indexes"}
"""Tables that Dagster fills when it creates the index: the version of the tables, and the migrations that are done."""


def discard_half_made(library: Library) -> bool:
    """Removes the event index if nothing was ever recorded in it; returns whether it did.

    To be called only while no other process opens the records.
    """
    path = inside(library.dagster_home, "history", "runs", "index.db")
    if not os.path.exists(path) or _count_rows(path):
        return False
    for each in (path, f"{path}-wal", f"{path}-shm", f"{path}-journal"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(each)
    return True


def _count_rows(path: str) -> int:
    """Counts the rows of all tables but those that Dagster fills when it creates the index."""
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        counted = [name.replace('"', '""') for name in tables - _FILLED_BY_DAGSTER if not name.startswith("sqlite_")]
        counts = [connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in counted]  # noqa: S608
        return sum(map(int, counts))
