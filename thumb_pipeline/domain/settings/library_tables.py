"""The tables about the library as a whole: where it writes, what it may cost, when it stops and asks."""

from typing import Annotated

from pydantic import Field, field_validator

from thumb_pipeline.domain.layout import STATE_FOLDER
from thumb_pipeline.domain.settings.values import Table


class StorageTable(Table):
    """`[storage]`: where what we write lies; relative paths start at the library."""

    state: str = Field(default=STATE_FOLDER, min_length=1)
    variants: str = Field(default=".", min_length=1)

    @field_validator("state", "variants")
    @classmethod
    def _is_a_path(cls, value: str) -> str:
        if "\0" in value:
            raise ValueError("no path has a NUL in it; remove it")
        return value


class RenderingTable(Table):
    """`[rendering]`: how many pictures at once and what one may cost."""

    workers: int = Field(default=0, ge=0, le=256, strict=True)
    deadline_s: float = Field(default=60.0, gt=0, le=3600, strict=True)
    max_megapixels: float = Field(default=200.0, gt=0, le=4000, strict=True)
    max_memory_mb: int = Field(default=2048, ge=256, strict=True)
    frame_at_s: float | None = Field(default=None, ge=0, le=1_000_000, strict=True)


class RetriesTable(Table):
    """`[retries]`: when a source that could not be read is tried again."""

    delays_s: tuple[Annotated[float, Field(ge=0, le=604_800, strict=True)], ...] = Field(
        default=(30.0, 120.0, 300.0), max_length=20
    )


class BrakesTable(Table):
    """`[brakes]`: when a listing counts as shrunken and is not believed, and how much a sweep may take unasked."""

    max_shrink_ratio: float = Field(default=0.10, ge=0, le=1, strict=True)
    min_shrink_sources: int = Field(default=5, ge=1, strict=True)
    max_sweep_ratio_timelapse: float = Field(default=0.5, ge=0, le=1, strict=True)
    max_sweep_ratio_library: float = Field(default=0.1, ge=0, le=1, strict=True)
    min_sweep_variants: int = Field(default=20, ge=1, strict=True)


class TrashTable(Table):
    """`[trash]`: how long removed files can be brought back."""

    keep_days: float = Field(default=7.0, ge=0, le=36_500, strict=True)


class VerificationTable(Table):
    """`[verification]`: how much one run of the rolling verification may read, and how long it may take."""

    rolling_bytes: int = Field(default=10_000_000_000, ge=1, strict=True)
    rolling_s: float = Field(default=1800.0, gt=0, le=86_400, strict=True)


class ChecksTable(Table):
    """`[checks]`: how much may be wrong before a check over the whole library fails."""

    max_failed_ratio: float = Field(default=0.01, ge=0, le=1, strict=True)
    max_wait_h: float = Field(default=24.0, gt=0, le=87_600, strict=True)


class CapturesTable(Table):
    """`[captures]`: how new captures are attended to."""

    linger_s: float = Field(default=30.0, ge=0, le=3600, strict=True)
    keep_warm: bool = Field(default=True, strict=True)


class BatchesTable(Table):
    """`[batches]`: how much is done at a time, where less is safer and more is cheaper."""

    chunk_s: float = Field(default=60.0, gt=0, le=86_400, strict=True)
    captures_s: float = Field(default=3.0, ge=0.1, le=600, strict=True)
    timelapses_per_run: int = Field(default=250, ge=1, le=100_000, strict=True)


class RunsTable(Table):
    """`[runs]`: how long finished runs are kept in Dagster's records."""

    keep_days: float = Field(default=90.0, ge=0, le=36_500, strict=True)
