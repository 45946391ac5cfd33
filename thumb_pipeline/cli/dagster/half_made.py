"""Takes back the first opening of a library's Dagster records in SQLite, where the process was killed over it.

Dagster makes the tables of its event index once, when the file does not exist yet; a file without them is never mended.
"""

import contextlib
import os
import sqlite3

from thumb_pipeline.domain.paths import inside
from thumb_pipeline.stages.library.library import Library

_OF_THE_MAKING = {"alembic_version", "secondary_indexes"}
"""Which version made the tables, and which of its migrations are done."""


def discard_half_made(library: Library) -> bool:
    """Removes the index of events if nothing was ever recorded in it, by anybody; whether it did.

    To be called while no other process opens the records.
    """
    path = inside(library.dagster_home, "history", "runs", "index.db")
    if not os.path.exists(path) or _n_rows(path):
        return False
    for each in (path, f"{path}-wal", f"{path}-shm", f"{path}-journal"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(each)
    return True


def _n_rows(path: str) -> int:
    """Rows of all tables but those that Dagster itself fills when it makes them."""
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        counted = [name.replace('"', '""') for name in tables - _OF_THE_MAKING if not name.startswith("sqlite_")]
        counts = [connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in counted]  # noqa: S608
        return sum(map(int, counts))
