"""The values that the steps work on: the source that is being decoded, and the tasks on its pixels.

Values only; sizes come from `domain.geometry`, pixels are Pillow's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from PIL import Image, ImageFile

from thumb_pipeline.domain.geometry import Framing, Size
from thumb_pipeline.domain.moments import DEFAULT_FRAME_AT, FrameAt
from thumb_pipeline.domain.variants import VariantSpec
from thumb_pipeline.imaging.results import Limits
from thumb_pipeline.imaging.sources.exif import ExifFacts

Region = tuple[float, float, float, float]

TURNED = frozenset({5, 6, 7, 8})
"""The EXIF orientations in which a stored row is a column of the upright picture."""


@dataclass(slots=True, kw_only=True)
class Source:
    """A source on its way from a stream to pixels; each step of decoding fills in attributes.

    Attributes:
        stream: the bytes, seekable.
        specs: the variants that will be made.
        limits: how large the source may be.
        frame_at: which frame of a video to take.
        admit: called with the number of pixels that decoding will hold; returns when there is memory for them.
        format: the decoder's name of the format.
        header: the opened file; `decode` loads its pixels.
        stored_size: width and height of the picture as it is stored, before any shrinking.
        n_pixels: how many pixels, or coefficients of a JPEG, decoding holds at once.
        exif: orientation and capture time.
        profile: the ICC profile, if the picture has one.
        pixels: the decoded picture, possibly shrunk by the decoder, not yet upright.
        region: the part of `pixels` that shows the whole picture; a decoder rounds sizes up when it shrinks.
    """

    stream: BinaryIO
    specs: Sequence[VariantSpec]
    limits: Limits
    frame_at: FrameAt = DEFAULT_FRAME_AT
    admit: Callable[[int], None] | None = None
    format: str = ""
    header: ImageFile.ImageFile = field(init=False)
    stored_size: Size = (0, 0)
    n_pixels: int = 0
    exif: ExifFacts = field(default_factory=ExifFacts)
    profile: bytes | None = None
    pixels: Image.Image = field(init=False)
    region: Region = (0.0, 0.0, 0.0, 0.0)

    @property
    def upright_size(self) -> Size:
        """Width and height of the picture as it is meant to be seen."""
        return as_upright(self.stored_size, self.exif.orientation)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShrinkTask:
    """How decoded pixels become an upright sRGB picture of one size.

    Attributes:
        size: upright width and height to reach.
        region: the part of the pixels to take.
        orientation: of the pixels; 1 to 8 as in EXIF.
        profile: the ICC profile of their colours, None for sRGB.
        reducing_gap: how far above `size` a quick box reduction may go before the filter takes over.
    """

    size: Size
    region: Region
    orientation: int
    profile: bytes | None
    reducing_gap: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishTask:
    """How an upright sRGB picture of the right scale becomes one variant."""

    spec: VariantSpec
    framing: Framing


def whole(size: Size) -> Region:
    """The region that is all of a picture of this size."""
    return (0.0, 0.0, float(size[0]), float(size[1]))


def as_upright(size: Size, orientation: int) -> Size:
    """The upright size for a stored size, and the stored size for an upright one."""
    return (size[1], size[0]) if orientation in TURNED else size
