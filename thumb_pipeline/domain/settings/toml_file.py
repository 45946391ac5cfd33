"""`Settings`: everything `thumbs.toml` says, from top to bottom."""

from pydantic import Field

from thumb_pipeline.domain.moments import FrameAt
from thumb_pipeline.domain.settings.library_tables import (
    BatchesTable,
    BrakesTable,
    CapturesTable,
    ChecksTable,
    RenderingTable,
    RetriesTable,
    RunsTable,
    StorageTable,
    TrashTable,
    VerificationTable,
)
from thumb_pipeline.domain.settings.policy_tables import CameraTable, PolicyTable, TimelapseTable
from thumb_pipeline.domain.settings.values import Color, Table, Timezone
from thumb_pipeline.domain.settings.variant_tables import VariantTable, default_variants
from thumb_pipeline.domain.variants import VariantSpec


class Settings(Table):
    """Everything `thumbs.toml` says, checked."""

    timezone: Timezone = Field(default="UTC", description="the cameras' local time, as an IANA name")
    background: Color = Field(
        default=(255, 255, 255), description='shows through transparent pictures, and around them with fit = "pad"'
    )
    settle_interval_s: float = Field(
        default=2.0,
        ge=0,
        le=600,
        strict=True,
        description="a file without an end marker is complete when size and mtime stood still for so many seconds",
    )
    storage: StorageTable = StorageTable()
    rendering: RenderingTable = RenderingTable()
    retries: RetriesTable = RetriesTable()
    brakes: BrakesTable = BrakesTable()
    trash: TrashTable = TrashTable()
    verification: VerificationTable = VerificationTable()
    checks: ChecksTable = ChecksTable()
    captures: CapturesTable = CapturesTable()
    batches: BatchesTable = BatchesTable()
    runs: RunsTable = RunsTable()
    variants: dict[str, VariantTable] = Field(default_factory=default_variants, min_length=1)
    policy: PolicyTable = PolicyTable()
    cameras: dict[str, CameraTable] = Field(default_factory=dict)
    timelapses: dict[str, TimelapseTable] = Field(default_factory=dict)

    @property
    def specs(self) -> dict[str, VariantSpec]:
        """Every variant's recipe by name, in the order of the file."""
        return {name: self._spec(name, table) for name, table in self.variants.items()}

    @property
    def frame_at(self) -> FrameAt:
        """The moment of a video that its variants show."""
        return FrameAt(seconds=self.rendering.frame_at_s)

    def _spec(self, name: str, table: VariantTable) -> VariantSpec:
        fields = table.model_dump()
        fields["background"] = table.background or self.background
        return VariantSpec(name=name, **fields)
