"""Step: convert the pixels to one of six modes: L, RGB, RGBA, YCbCr (JPEG only), CMYK, LAB.

All have 8 bits per channel. The colours stay in the space of their profile; `to_srgb` applies it, after shrinking.
"""

import functools

from PIL import Image

from thumb_pipeline.imaging.refusals import decoding
from thumb_pipeline.imaging.steps.tasks import Source

WORKING_MODES = frozenset({"L", "RGB", "RGBA", "YCbCr", "CMYK", "LAB"})

_BYTE_WHITE = 255.0
_WORD_WHITE = 65_535
_LONG_WHITE = 4_294_967_295.0
_BITS_PER_SAMPLE = 258


def to_working_mode(source: Source) -> None:
    """Replaces `pixels`."""
    with decoding(source.stream, source.format):
        if source.pixels.mode == "YCbCr" and source.format == "TIFF":
            source.pixels = source.pixels.convert("RGB")
        covered = _first_frame_place(source)
        source.pixels = _converted(source.pixels)
        if covered is not None:
            source.pixels = _transparent_outside(source.pixels, covered)


def _first_frame_place(source: Source) -> tuple[int, int, int, int] | None:
    """The place of a GIF's first frame, if it does not cover the whole screen; otherwise None."""
    place: tuple[int, int, int, int] | None = getattr(source.pixels, "dispose_extent", None)
    return None if place == (0, 0, *source.pixels.size) else place


def _transparent_outside(picture: Image.Image, place: tuple[int, int, int, int]) -> Image.Image:
    """Makes the pixels outside of a place transparent, as in browsers; Pillow gives them a colour of the palette."""
    empty = Image.new("RGBA", picture.size)
    empty.paste(picture.convert("RGBA").crop(place), place[:2])
    return empty


def _converted(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I;16"):
        return _from_words(picture)
    if picture.mode in ("I", "F"):
        return _from_wide(picture)
    if picture.has_transparency_data:
        return picture if picture.mode == "RGBA" else picture.convert("RGBA")
    if picture.mode in WORKING_MODES:
        return picture
    return picture.convert("L" if picture.mode == "1" else "RGB")


def _from_words(picture: Image.Image) -> Image.Image:
    """Rescales gray samples of 9 to 16 bits; `convert` alone would clip everything above 255 to white."""
    words = picture.convert("I")
    gray = words.point(_to_bytes_table(_white(picture)), "L")
    transparent = picture.info.get("transparency")
    if not isinstance(transparent, int):
        return gray
    alpha = words.point([0 if word == transparent else 255 for word in range(_WORD_WHITE + 1)], "L")
    return Image.merge("RGBA", (gray, gray, gray, alpha))


def _white(picture: Image.Image) -> int:
    """The value of white; a TIFF says how many of the 16 bits its samples use."""
    bits = getattr(picture, "tag_v2", {}).get(_BITS_PER_SAMPLE, (16,))[0]
    return (1 << bits) - 1 if isinstance(bits, int) and 8 < bits < 16 else _WORD_WHITE


@functools.lru_cache(maxsize=4)
def _to_bytes_table(white: int) -> list[int]:
    return [min(255, (2 * 255 * word + white) // (2 * white)) for word in range(_WORD_WHITE + 1)]


def _from_wide(picture: Image.Image) -> Image.Image:
    """Rescales samples of 32 bits. Their white is unknown, so it is taken from the narrowest usual range they fit."""
    low, high = _range(picture)
    scale = _BYTE_WHITE / (high - low)
    wide = picture if picture.mode == "F" else picture.convert("F")
    return wide.point(lambda sample: sample * scale + (0.5 - low * scale)).convert("L")


def _range(picture: Image.Image) -> tuple[float, float]:
    extrema = picture.getextrema()
    low, high = float(extrema[0]), float(extrema[1])  # type: ignore[arg-type]  # one band: a pair of numbers
    whites = (_BYTE_WHITE, float(_WORD_WHITE), _LONG_WHITE)
    for white in (1.0, *whites) if picture.mode == "F" else whites:
        if low >= 0.0 and high <= white:
            return 0.0, white
    return (low, high) if high > low else (low, low + 1.0)
