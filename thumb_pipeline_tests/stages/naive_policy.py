"""Says which captures must have a variant by the rules of `docs/policies.md`, one capture at a time, in plain Python.

Belongs to `naive_checker`. What `thumbs.toml` says comes as its parsed tables; how they combine is told anew here.
"""

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from thumb_pipeline.domain.settings import Settings

_DATED = re.compile(r"(?<!\d)(\d{8}_\d{6})(?!\d)")


@dataclass(frozen=True, kw_only=True)
class Capture:
    """A source, as far as policies ask.

    Attributes:
        name: as tables have it.
        captured_at: by its name, else its mtime.
        first_seen_at: in the inventory; now, if it is not there.
        can_be_newest: whether it is complete and was not refused.
    """

    name: str
    captured_at: datetime
    first_seen_at: datetime
    can_be_newest: bool = True

    @property
    def order(self) -> tuple[datetime, str]:
        """A clock that runs ahead counts for a day at most."""
        return min(self.captured_at, self.first_seen_at + timedelta(days=1)), self.name


def captured_at(name: str, mtime_ns: int) -> datetime:
    """When a source without EXIF, in a timelapse without a start date, was taken."""
    written = _DATED.search(name)
    if written is not None:
        return datetime.strptime(written[1], "%Y%m%d_%H%M%S").replace(tzinfo=UTC)
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=mtime_ns // 1000)


class NaivePolicy:
    """What a timelapse asks for."""

    def __init__(self, settings: Settings, key: str, now: datetime) -> None:
        assert settings.timezone == "UTC"
        camera = settings.cameras.get(key.partition("/")[0])
        self.own = settings.timelapses.get(key)
        layers = [settings.policy, *(table.policy for table in (camera, self.own) if table is not None)]
        self.layers = [table.model_dump(exclude_none=True) for table in layers]
        self.variants = list(settings.variants)
        self.now = now

    def required(self, variant: str, captures: Iterable[Capture]) -> set[str]:
        """The names of the captures that must have a variant."""
        by_era: dict[Any, list[Capture]] = {}
        for capture in captures:
            if not self._is_flagged(capture.name):
                by_era.setdefault(self._era(capture.captured_at), []).append(capture)
        return {name for era, mine in by_era.items() for name in self._required(variant, self._said(era), mine)}

    def is_latest_only(self, variant: str) -> bool:
        """Whether the newest capture of today is the only one to have it."""
        today = max((begin for begin in map(_since, self.layers) if begin), default=None)
        return self._mode(variant, self._said(today)) == "latest_only"

    def _required(self, variant: str, said: dict[str, Any], captures: list[Capture]) -> set[str]:
        mode = self._mode(variant, said)
        if mode == "none":
            return set()
        if mode == "latest_only":
            captures = sorted((c for c in captures if c.can_be_newest), key=lambda c: c.order)[-1:]
        kept = said["retention"].get(variant)
        if kept is None:
            return {capture.name for capture in captures}
        begin = self.now - timedelta(days=kept["keep_days"])
        young = {capture.name for capture in captures if capture.captured_at > begin}
        first: dict[int, str] = {}
        for capture in sorted(captures, key=lambda c: (c.captured_at, c.name)):
            if "then_every_s" in kept:
                first.setdefault(int(capture.captured_at.timestamp()) // kept["then_every_s"], capture.name)
        return young | set(first.values())

    def _mode(self, variant: str, said: dict[str, Any]) -> str:
        if not said.get("generate_thumbnails", True) or variant not in said.get("variants", self.variants):
            return "none"
        if variant != "small":
            return "all"
        is_completed = self.own is not None and self.own.status == "completed"
        if is_completed and said.get("purge_smalls_on_completion"):
            return "none"
        return str(said.get("small_generation_mode", "all"))

    def _era(self, instant: datetime) -> datetime | None:
        """The last beginning of a table that is over at an instant."""
        return max((begin for begin in map(_since, self.layers) if begin and begin <= instant), default=None)

    def _said(self, era: datetime | None) -> dict[str, Any]:
        """What holds from an instant on: of each key the lowest table that says it."""
        said: dict[str, Any] = {"retention": {}}
        for table in self.layers:
            begin = _since(table)
            if begin is None or (era is not None and begin <= era):
                retention = {**said["retention"], **table["retention"]}
                said = {**said, **table, "retention": retention}
        return said

    def _is_flagged(self, name: str) -> bool:
        if self.own is None:
            return False
        patterns = self.own.corrupt_patterns
        return name in self.own.corrupt_names or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _since(table: dict[str, Any]) -> datetime | None:
    return datetime.combine(table["since"], time(), UTC) if "since" in table else None
