"""The tables about the library as a whole: where it writes, what it may cost, when it stops and asks."""

from typing import Annotated

from pydantic import Field, field_validator

from thumb_pipeline.domain.layout import STATE_FOLDER
from thumb_pipeline.domain.settings.values import Table


class StorageTable(Table):
    """`[storage]`: where the state and the variants lie; relative paths start at the library."""

    state: str = Field(
        default=STATE_FOLDER,
        min_length=1,
        description="where records, plans and the Dagster instance lie, relative to the library or absolute",
    )
    variants: str = Field(
        default=".", min_length=1, description='root of the tree of variant folders; "." puts them beside frames/'
    )

    @field_validator("state", "variants")
    @classmethod
    def _is_a_path(cls, value: str) -> str:
        if "\0" in value:
            raise ValueError("no path has a NUL in it; remove it")
        return value


class RenderingTable(Table):
    """`[rendering]`: how many pictures at once and what one may cost."""

    workers: int = Field(
        default=0, ge=0, le=256, strict=True, description="pictures rendered at once; 0 is one for each core"
    )
    deadline_s: float = Field(default=60.0, gt=0, le=3600, strict=True, description="seconds that one source may take")
    max_megapixels: float = Field(
        default=200.0,
        gt=0,
        le=4000,
        strict=True,
        description="largest picture to decode; a JPEG counts with the reduced size it is decoded at",
    )
    max_memory_mb: int = Field(default=2048, ge=256, strict=True, description="address space of one worker, in MB")
    frame_at_s: float | None = Field(
        default=None,
        ge=0,
        le=1_000_000,
        strict=True,
        description="the moment of a video, in seconds, that its variants show; left out, a tenth of its duration",
        examples=[3.0],
    )


class RetriesTable(Table):
    """`[retries]`: when a source that could not be read is tried again."""

    delays_s: tuple[Annotated[float, Field(ge=0, le=604_800, strict=True)], ...] = Field(
        default=(30.0, 120.0, 300.0),
        max_length=20,
        description="seconds until a source that could not be read is tried again, for each retry",
    )


class BrakesTable(Table):
    """`[brakes]`: when a listing counts as shrunken and is not believed, and how large a sweep is refused."""

    max_shrink_ratio: float = Field(
        default=0.10,
        ge=0,
        le=1,
        strict=True,
        description="a listing that lost more than this share of a timelapse is not believed; an emptied one never is",
    )
    min_shrink_sources: int = Field(
        default=5, ge=1, strict=True, description="a listing that lost fewer sources than this is believed"
    )
    max_sweep_ratio_timelapse: float = Field(
        default=0.5,
        ge=0,
        le=1,
        strict=True,
        description="a sweep of more than this share of a timelapse's variant files is refused",
    )
    max_sweep_ratio_library: float = Field(
        default=0.1,
        ge=0,
        le=1,
        strict=True,
        description="a sweep of more than this share of the library's variant files is refused",
    )
    min_sweep_variants: int = Field(
        default=20, ge=1, strict=True, description="a sweep of fewer files than this is not refused"
    )


class TrashTable(Table):
    """`[trash]`: how long removed files can be brought back."""

    keep_days: float = Field(
        default=7.0,
        ge=0,
        le=36_500,
        strict=True,
        description="days for which a removal can be restored; older ones go at the next sweep or purge",
    )


class VerificationTable(Table):
    """`[verification]`: how much one run of the rolling verification may read, and how long it may take."""

    rolling_bytes: int = Field(
        default=10_000_000_000, ge=1, strict=True, description="bytes that one run of the rolling verification may read"
    )
    rolling_s: float = Field(
        default=1800.0,
        gt=0,
        le=86_400,
        strict=True,
        description="seconds that one run of the rolling verification may take",
    )


class ChecksTable(Table):
    """`[checks]`: how much may be wrong before a check over the whole library fails."""

    max_failed_ratio: float = Field(
        default=0.01,
        ge=0,
        le=1,
        strict=True,
        description="share of the variants that may be failed before the check failure_rate fails",
    )
    max_wait_h: float = Field(
        default=24.0,
        gt=0,
        le=87_600,
        strict=True,
        description="hours that the oldest capture may wait for its variants before the check freshness fails",
    )


class CapturesTable(Table):
    """`[captures]`: how new captures are handled."""

    linger_s: float = Field(
        default=30.0,
        ge=0,
        le=3600,
        strict=True,
        description="seconds that the workers for new captures stay after the last one",
    )
    keep_warm: bool = Field(
        default=True,
        strict=True,
        description="whether the run stays when its workers end (190 MB): the next capture need not wait for a run",
    )


class BatchesTable(Table):
    """`[batches]`: how much work is done at a time: less is safer, more is cheaper."""

    chunk_s: float = Field(
        default=60.0,
        gt=0,
        le=86_400,
        strict=True,
        description="seconds of work in one chunk of a large run: what a cancel or a crash may cost",
    )
    captures_s: float = Field(
        default=3.0,
        ge=0.1,
        le=600,
        strict=True,
        description="seconds of work in one batch of new captures: how long the newest may wait behind an import",
    )
    timelapses_per_run: int = Field(
        default=250,
        ge=1,
        le=100_000,
        strict=True,
        description="timelapses that one run of a backfill takes; read when the services start",
    )


class RunsTable(Table):
    """`[runs]`: how long finished runs are kept in Dagster's records."""

    keep_days: float = Field(
        default=90.0,
        ge=0,
        le=36_500,
        strict=True,
        description="days for which Dagster keeps finished runs, but for the latest of each timelapse; 0 keeps all",
    )
