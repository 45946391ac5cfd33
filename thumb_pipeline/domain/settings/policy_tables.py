"""Which variants are asked for: `[policy]`, and what differs for a camera or a timelapse."""

from datetime import date
from typing import Literal

from pydantic import Field, field_validator

from thumb_pipeline.domain.policy import Mode
from thumb_pipeline.domain.settings.values import StartDate, Table, Timezone


class RetentionTable(Table):
    """`[policy.retention.NAME]`: how long every capture keeps a variant, and how many do afterwards."""

    keep_days: float = Field(
        gt=0, le=100_000, description="days for which every capture keeps this variant", examples=[30.0]
    )
    then_every_s: int | None = Field(
        default=None,
        ge=1,
        strict=True,
        description="afterwards the first capture in each stretch of so many seconds keeps it; left out, none does",
        examples=[3600],
    )


class PolicyTable(Table):
    """`[policy]`, also below a camera or a timelapse: a key that is left out there is taken from above."""

    variants: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="the variants that each source must have; left out, all of them",
        examples=[("thumbnail", "small")],
    )
    generate_thumbnails: bool | None = Field(
        default=None, strict=True, description="whether any variants are asked for", examples=[True]
    )
    small_generation_mode: Mode | None = Field(
        default=None,
        description='captures that must have the variant small: "all", "latest_only" or "none"',
        examples=[Mode.ALL],
    )
    purge_smalls_on_completion: bool | None = Field(
        default=None,
        strict=True,
        description='true asks for no smalls once a timelapse has status = "completed"',
        examples=[False],
    )
    retention: dict[str, RetentionTable] = Field(default_factory=dict)
    since: StartDate | None = Field(
        default=None,
        description="this policy holds for captures from this date on; left out, for all",
        examples=[date(2026, 1, 1)],
    )

    @field_validator("variants")
    @classmethod
    def _each_once(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is not None and len(set(value)) < len(value):
            raise ValueError("name each variant once; remove the repetition")
        return value


class CameraTable(Table):
    """`[cameras."camera-1"]`: what differs for one camera."""

    timezone: Timezone | None = Field(
        default=None, description="local time of one camera or timelapse", examples=["Europe/Berlin"]
    )
    policy: PolicyTable = Field(
        default=PolicyTable(),
        description="the keys of [policy], below a camera or timelapse; what is left out is taken from above",
    )


class TimelapseTable(CameraTable):
    """`[timelapses."camera-1/timelapse-2"]`: what differs for one timelapse."""

    start_date: StartDate | None = Field(
        default=None, description="the date that day001 means in its file names", examples=[date(2025, 4, 22)]
    )
    status: Literal["active", "completed"] = Field(
        default="active", description='"active" or "completed"', examples=["completed"]
    )
    corrupt_names: tuple[str, ...] = Field(
        default=(),
        description="sources that another program found corrupt: no variants are made of them",
        examples=[("broken.jpg",)],
    )
    corrupt_patterns: tuple[str, ...] = Field(
        default=(), description="the same by shell patterns", examples=[("*.bad.jpg",)]
    )
