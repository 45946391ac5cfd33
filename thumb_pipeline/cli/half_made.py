"""Takes back the first opening of a library's Dagster records in SQLite, where the process was killed over it.

Dagster makes the tables of its event index once, when the file does not exist yet; a file without them is never mended.
"""

import contextlib
import os
import sqlite3

from thumb_pipeline.stages.library import Library


def discard_half_made(library: Library) -> bool:
    """Removes the index of events if nothing was ever recorded in it; whether it did.

    To be called while no other process opens the records.
    """
    path = os.path.join(library.dagster_home, "history", "runs", "index.db")
    if not os.path.exists(path) or _n_events(path):
        return False
    for each in (path, f"{path}-wal", f"{path}-shm", f"{path}-journal"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(each)
    return True


def _n_events(path: str) -> int:
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "event_logs" not in tables:
            return 0
        return int(connection.execute("SELECT count(*) FROM event_logs").fetchone()[0])
