"""`[variants.NAME]`: the recipes, and the two defaults if the file has none."""

import re
from typing import Self

from pydantic import Field, field_validator, model_validator

from thumb_pipeline.domain.layout import RESERVED_FOLDERS
from thumb_pipeline.domain.settings.values import Color, Table
from thumb_pipeline.domain.variants import MAX_SIDE_PX, Fit, Gravity, OutputFormat


class VariantTable(Table):
    """`[variants.NAME]`: one recipe and where its files lie."""

    folder: str = Field(description="folder beside frames/")
    tag: str = Field(description="part of the file names")
    max_width_px: int | None = Field(
        default=None, ge=1, le=65_500, strict=True, description="width of the box; left out, that side is open"
    )
    max_height_px: int | None = Field(
        default=None, ge=1, le=65_500, strict=True, description="height of the box; one of the two must be there"
    )
    fit: Fit = Field(
        default=Fit.CONTAIN, description='"contain", "cover" (crops) or "pad" (fills up with the background)'
    )
    gravity: Gravity = Field(
        default=Gravity.CENTER, description='what "cover" keeps: "center", "north", "south", "east" or "west"'
    )
    format: OutputFormat = Field(default=OutputFormat.JPEG, description='"jpeg", "png", "webp" or "avif"')
    quality: int = Field(default=85, ge=1, le=100, strict=True, description="1 to 100; not used by PNG")
    progressive: bool = Field(default=False, strict=True, description="whether a JPEG is progressive")
    background: Color | None = Field(
        default=None, description="of this variant alone, in place of the library's", examples=["#000000"]
    )
    enlarge: bool = Field(default=False, strict=True, description="whether a smaller source is enlarged to its box")

    @field_validator("folder")
    @classmethod
    def _folder_is_ours(cls, value: str) -> str:
        if value.casefold().split("/")[0] in RESERVED_FOLDERS:
            raise ValueError("variants may not lie in frames/, overlays/ or videos/; choose a folder of their own")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", value) or ".." in value:
            raise ValueError("name one folder beside frames/, of letters, digits, '.', '_' and '-'")
        return value

    @field_validator("tag")
    @classmethod
    def _tag_is_plain(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,31}", value):
            raise ValueError("use a small letter, then small letters, digits and '-', 32 at most")
        return value

    @model_validator(mode="after")
    def _box_is_possible(self) -> Self:
        sides = [side for side in (self.max_width_px, self.max_height_px) if side is not None]
        if not sides:
            raise ValueError("set max_width_px, max_height_px or both: a box may leave one side open, not two")
        if max(sides) > MAX_SIDE_PX[self.format]:
            raise ValueError(
                f'a side of {max(sides)} px: format "{self.format}" holds at most {MAX_SIDE_PX[self.format]} px; '
                "make the box smaller"
            )
        return self


def default_variants() -> dict[str, VariantTable]:
    """The variants of a file that has none."""
    return {
        "thumbnail": VariantTable(folder="thumbnails", tag="thumb", max_width_px=200, max_height_px=150),
        "small": VariantTable(folder="smalls", tag="small", max_width_px=800, max_height_px=600),
    }
