"""What a person may set when launching a run: typed, bounded, described. Shared by assets and jobs."""

from pydantic import Field

from thumb_pipeline.defs.run_config import RunConfig
from thumb_pipeline.stages.inventory.selection import Selection


class InventoryConfig(RunConfig):
    """How a listing is judged."""

    accept_shrink: bool = Field(
        default=False,
        description="Believe a listing that is empty or lost many sources. Check first that the disk is mounted.",
    )

    def selection(self, keys: list[str]) -> Selection:
        """The selection of these timelapses."""
        return Selection(timelapses=tuple(keys), accept_shrink=self.accept_shrink)


class PlanConfig(InventoryConfig):
    """What is planned for the run's timelapses; the defaults make what is missing or stale."""

    force: bool = Field(default=False, description="Render again what is right already.")
    retry_failed: bool = Field(default=False, description="Try refused sources again although nothing changed.")
    trust_existing: bool = Field(
        default=False,
        description="Adopt variants that another program made, if they decode and fit their box.",
    )
    sources: list[str] = Field(default=[], description="Only these sources (file names in frames/); empty means all.")
    variants: list[str] = Field(default=[], description="Only these variants; empty means all.")

    def selection(self, keys: list[str]) -> Selection:
        """The selection of these timelapses."""
        return Selection(
            timelapses=tuple(keys),
            sources=tuple(self.sources),
            variants=tuple(self.variants),
            force=self.force,
            retry_failed=self.retry_failed,
            trust_existing=self.trust_existing,
            accept_shrink=self.accept_shrink,
        )


class GenerateConfig(PlanConfig):
    """What the `generate` job is to do."""

    timelapses: list[str] = Field(
        default=[], description="Keys like camera-1/timelapse-2; empty means the whole library."
    )
    go_on_without_refused: bool = Field(
        default=False,
        description=(
            "A timelapse that is refused (an unmounted disk, a shrunken listing) does not stop the others; the run "
            "then fails at its end and says which it was."
        ),
    )


class VerifyConfig(RunConfig):
    """What the `verify` job verifies, and how deeply."""

    timelapses: list[str] = Field(
        default=[], description="Keys like camera-1/timelapse-2; empty means the whole library."
    )
    deep: bool = Field(
        default=False, description="Decode every variant and read every source to its end, however long it takes."
    )


class RollingConfig(RunConfig):
    """How much one run of the rolling verification may do."""

    n_bytes: int = Field(
        default=0, ge=0, description="Bytes it may read; 0 takes verification.rolling_bytes of thumbs.toml."
    )
    seconds: float = Field(
        default=0.0, ge=0, description="Seconds it may take; 0 takes verification.rolling_s of thumbs.toml."
    )


class ReportConfig(RunConfig):
    """What is reported after a plan was carried out."""

    statistics: bool = Field(
        default=True,
        description="Measure coverage and disk usage of the whole library afterwards, from a fresh listing.",
    )
