"""Lets a library grow older while its clock is steady: what it says of time is moved into the past."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from thumb_pipeline_tests.stages.archives import Archive

FUTURE_DAYS = 400


def note_of(archive: Archive) -> dict[str, Any]:
    """What `clock.json` says."""
    written: dict[str, Any] = json.loads(note_path(archive).read_text())
    return written


def note_path(archive: Archive) -> Path:
    return Path(archive.library.state, "clock.json")


def let_days_pass(archive: Archive, days: float) -> None:
    """Moves the note of the clock and the trash into the past, without the last look, which was just now."""
    note = note_of(archive)
    for name in ("steady_since_s", "before_jump_s", "ahead_s"):
        note[name] = max(0.0, note[name] - days * 86_400)
    note_path(archive).write_text(json.dumps(note))
    removed_at(archive, lambda began_at: began_at - timedelta(days=days))


def removed_at(archive: Archive, moment: Callable[[datetime], datetime]) -> None:
    """Dates everything in the trash anew."""
    for path in Path(archive.library.journals).glob("*/operation.json"):
        written = json.loads(path.read_text())
        written["started_at"] = moment(datetime.fromisoformat(written["started_at"])).isoformat()
        path.write_text(json.dumps(written))


def removed_days_ago(archive: Archive, days: float) -> None:
    """Makes everything in the trash as old as that by its own time, and leaves the clock's note alone."""
    removed_at(archive, lambda _: datetime.now(UTC) - timedelta(days=days))
