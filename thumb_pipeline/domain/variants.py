"""Variant specs: the named recipes by which variants are made.

What a recipe is and when two recipes make equivalent files. Sizes that follow from a recipe are in `geometry`, the
file names in `names`, reading recipes from `thumbs.toml` in `settings`.
"""

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum

RENDER_REVISION = 1
"""Increased only when the same source and spec would give a different picture; then every variant is stale."""


class Fit(StrEnum):
    """How a picture is fitted into its box."""

    CONTAIN = "contain"
    COVER = "cover"
    PAD = "pad"


class Gravity(StrEnum):
    """Which part of the picture stays when `cover` crops it."""

    CENTER = "center"
    NORTH = "north"
    SOUTH = "south"
    EAST = "east"
    WEST = "west"


class OutputFormat(StrEnum):
    """The file formats a variant can have."""

    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    AVIF = "avif"


_EXTENSIONS = {OutputFormat.JPEG: "jpg", OutputFormat.PNG: "png", OutputFormat.WEBP: "webp", OutputFormat.AVIF: "avif"}

MAX_SIDE_PX = {
    OutputFormat.JPEG: 65_500,
    OutputFormat.PNG: 65_500,
    OutputFormat.WEBP: 16_383,
    OutputFormat.AVIF: 16_384,
}
"""Longest side an encoder takes, in pixels (libjpeg's JPEG_MAX_DIMENSION, libwebp's WEBP_MAX_DIMENSION)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantSpec:
    """How one named variant is made and where it lies; equal fingerprints make equivalent files.

    A side of the box that is None is open: only the other one bounds the picture.
    """

    name: str
    tag: str
    folder: str
    max_width_px: int | None
    max_height_px: int | None
    fit: Fit = Fit.CONTAIN
    gravity: Gravity = Gravity.CENTER
    format: OutputFormat = OutputFormat.JPEG
    quality: int = 85
    progressive: bool = False
    background: tuple[int, int, int] = (255, 255, 255)
    enlarge: bool = False

    @property
    def extension(self) -> str:
        """The file name extension of the output format, without its dot."""
        return _EXTENSIONS[self.format]

    @property
    def fingerprint(self) -> str:
        """16 hex digits over everything that changes the picture; name, tag and folder do not."""
        recipe = {
            "box": (self.max_width_px, self.max_height_px),
            "fit": self.fit,
            "gravity": self.gravity if self.fit is Fit.COVER else None,
            "format": self.format,
            "quality": None if self.format is OutputFormat.PNG else self.quality,
            "progressive": self.progressive if self.format is OutputFormat.JPEG else None,
            "background": self.background,
            "enlarge": self.enlarge,
        }
        return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]
