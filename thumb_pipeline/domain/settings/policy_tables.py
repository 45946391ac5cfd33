"""Which variants are asked for: `[policy]`, and what differs for a camera or a timelapse."""

from typing import Literal

from pydantic import Field, field_validator

from thumb_pipeline.domain.policy import Mode
from thumb_pipeline.domain.settings.values import StartDate, Table, Timezone


class RetentionTable(Table):
    """`[policy.retention.NAME]`: how long every capture keeps a variant, and how many do afterwards."""

    keep_days: float = Field(gt=0, le=100_000)
    then_every_s: int | None = Field(default=None, ge=1, strict=True)


class PolicyTable(Table):
    """`[policy]`, also below a camera or a timelapse: what is left out there is taken from above."""

    variants: tuple[str, ...] | None = Field(default=None, min_length=1)
    generate_thumbnails: bool | None = Field(default=None, strict=True)
    small_generation_mode: Mode | None = None
    purge_smalls_on_completion: bool | None = Field(default=None, strict=True)
    retention: dict[str, RetentionTable] = Field(default_factory=dict)
    since: StartDate | None = None

    @field_validator("variants")
    @classmethod
    def _each_once(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is not None and len(set(value)) < len(value):
            raise ValueError("name each variant once; remove the repetition")
        return value


class CameraTable(Table):
    """`[cameras."camera-1"]`: what differs for one camera."""

    timezone: Timezone | None = None
    policy: PolicyTable = PolicyTable()


class TimelapseTable(CameraTable):
    """`[timelapses."camera-1/timelapse-2"]`: what differs for one timelapse."""

    start_date: StartDate | None = None
    status: Literal["active", "completed"] = "active"
    corrupt_names: tuple[str, ...] = ()
    corrupt_patterns: tuple[str, ...] = ()
