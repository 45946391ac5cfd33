"""Step: bring every way of storing pixels to one of six modes: L, RGB, RGBA, YCbCr (JPEG only), CMYK, LAB.

All have 8 bits a channel.

Colours keep their meaning here; profiles are applied in `to_srgb`, after shrinking.
"""

from PIL import Image

from thumb_pipeline.imaging.refusals import decoding
from thumb_pipeline.imaging.steps.tasks import Source

WORKING_MODES = frozenset({"L", "RGB", "RGBA", "YCbCr", "CMYK", "LAB"})

_BYTE_RANGE = 255.0
_WORD_RANGE = 65_535.0
_LONG_RANGE = 4_294_967_295.0


def to_working_mode(source: Source) -> None:
    """Replaces `pixels`."""
    with decoding(source.stream, source.format):
        is_planar = source.pixels.mode == "YCbCr" and source.format not in ("JPEG", "MPO")
        source.pixels = source.pixels.convert("RGB") if is_planar else _converted(source.pixels)


def _converted(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith(("I", "F")):
        return _to_bytes(picture)
    if picture.has_transparency_data:
        return picture if picture.mode == "RGBA" else picture.convert("RGBA")
    if picture.mode in WORKING_MODES:
        return picture
    return picture.convert("L" if picture.mode == "1" else "RGB")


def _to_bytes(picture: Image.Image) -> Image.Image:
    """Rescales samples of more than 8 bits; `convert` alone would clip everything above 255 to white."""
    low, high = _range(picture)
    wide = picture.convert("F") if picture.mode != "F" else picture
    scale = _BYTE_RANGE / (high - low)
    return wide.point(lambda sample: sample * scale - low * scale).convert("L")


def _range(picture: Image.Image) -> tuple[float, float]:
    """The samples that mean black and white: by the file's bit depth; by the samples where it does not say."""
    if picture.mode.startswith("I;16"):
        return 0.0, _WORD_RANGE
    extrema = picture.getextrema()
    low, high = float(extrema[0]), float(extrema[1])  # type: ignore[arg-type]  # one band: a pair of numbers
    for white in (1.0, _BYTE_RANGE, _WORD_RANGE, _LONG_RANGE):
        # A float picture is meant in 0 to 1; an integer one that stays below 256 was stored wider than it is.
        if low >= 0.0 and high <= white and not (white == 1.0 and picture.mode != "F"):
            return 0.0, white
    return (low, high) if high > low else (low, low + 1.0)
