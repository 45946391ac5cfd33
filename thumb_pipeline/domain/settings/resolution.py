"""The settings of one timelapse: the library's, overridden by its camera's, overridden by its own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from thumb_pipeline.domain.capture_times import Clock
from thumb_pipeline.domain.layout import parse_key
from thumb_pipeline.domain.policy import Era, Mode, Policy, Retention, Rule
from thumb_pipeline.domain.settings.policy_tables import CameraTable, PolicyTable, RetentionTable, TimelapseTable
from thumb_pipeline.domain.settings.toml_file import Settings
from thumb_pipeline.domain.variants import VariantSpec

SMALL = "small"
"""The variant that `small_generation_mode` and `purge_smalls_on_completion` are about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelapseSettings:
    """The part of the settings that applies to one timelapse."""

    clock: Clock
    specs: tuple[VariantSpec, ...]
    policy: Policy


def for_timelapse(settings: Settings, key: str) -> TimelapseSettings:
    """The settings that apply to the timelapse with this key."""
    camera, _ = parse_key(key)
    own = settings.timelapses.get(key, TimelapseTable())
    layers = [settings.cameras.get(camera, CameraTable()), own]
    timezone = ZoneInfo([settings.timezone, *(t.timezone for t in layers if t.timezone is not None)][-1])
    policy = Policy(
        eras=tuple(_eras(settings, [settings.policy, *(layer.policy for layer in layers)], own.status, timezone)),
        flagged_names=frozenset(own.corrupt_names),
        flagged_patterns=own.corrupt_patterns,
    )
    return TimelapseSettings(
        clock=Clock(timezone=timezone, start_date=own.start_date),
        specs=tuple(settings.specs[name] for name in policy.variants),
        policy=policy,
    )


def _eras(settings: Settings, layers: Sequence[PolicyTable], status: str, timezone: ZoneInfo) -> Iterator[Era]:
    """The eras, divided by the dates from which layers hold; a layer without a date always holds."""
    begins = {table.since: datetime.combine(table.since, time(), timezone) for table in layers if table.since}
    for since in [None, *sorted(begins)]:
        holding = [table for table in layers if table.since is None or (since is not None and table.since <= since)]
        yield Era(since=begins[since] if since else None, rules=_rules(settings, holding, status))


def _rules(settings: Settings, layers: Sequence[PolicyTable], status: str) -> dict[str, Rule]:
    """The rule of each variant that some layers together ask for; the last layer that sets a key wins."""
    values: dict[str, Any] = {"variants": tuple(settings.variants)}
    retention: dict[str, RetentionTable] = {}
    for table in layers:
        values.update(table.model_dump(exclude={"retention", "since"}, exclude_none=True))
        retention.update(table.retention)
    if not values.get("generate_thumbnails", True):
        return {}
    mode = values.get("small_generation_mode", Mode.ALL)
    if status == "completed" and values.get("purge_smalls_on_completion"):
        mode = Mode.NONE
    return {
        name: Rule(mode=mode if name == SMALL else Mode.ALL, retention=_retention(retention.get(name)))
        for name in values["variants"]
    }


def _retention(table: RetentionTable | None) -> Retention | None:
    if table is None:
        return None
    return Retention(keep_s=table.keep_days * 86_400, then_every_s=table.then_every_s)
