"""ThumbHash: a blurred picture in about 25 bytes, which a page shows until the thumbnail is loaded.

The format is Evan Wallace's (github.com/evanw/thumbhash, 2023): the lowest frequencies of a cosine transform of luma,
of two differences of colours and of alpha, four bits each. It is implemented here because no wheel of it exists for all
platforms of this project. The transform is separable, so rows are summed first.
"""

import base64
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import mul

from PIL import Image

_SIDE_PX = 32
"""The picture is first averaged down to this: seven frequencies need no more, and the time grows with the pixels."""

_OPAQUE_LUMA_FREQUENCIES, _LUMA_FREQUENCIES = 7, 5
_COLOUR_FREQUENCIES, _ALPHA_FREQUENCIES = 3, 5


@dataclass(frozen=True, slots=True)
class _Channel:
    """Mean, strongest frequency, and the frequencies relative to that, 0 to 1."""

    mean: float
    scale: float
    waves: list[float]


def thumb_hash(picture: Image.Image) -> str:
    """The hash in base64, the usual input of decoders in browsers.

    Args:
        picture: upright, in sRGB, of any size and any mode that converts to RGB or RGBA.
    """
    return base64.b64encode(_encoded(_reduced(picture))).decode("ascii")


def _reduced(picture: Image.Image) -> Image.Image:
    longest = max(picture.size)
    if longest > _SIDE_PX:
        size = (
            max(1, round(picture.width * _SIDE_PX / longest)),
            max(1, round(picture.height * _SIDE_PX / longest)),
        )
        picture = picture.resize(size, Image.Resampling.BOX)
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")


def _encoded(picture: Image.Image) -> bytes:
    width, height = picture.size
    red, green, blue, alpha = _planes(picture)
    has_alpha = alpha is not None
    limit = _LUMA_FREQUENCIES if has_alpha else _OPAQUE_LUMA_FREQUENCIES
    across, down = (max(1, _rounded(limit * side / max(width, height))) for side in (width, height))
    luma = [(r + g + b) / 3 for r, g, b in zip(red, green, blue, strict=True)]
    yellow_blue = [(r + g) / 2 - b for r, g, b in zip(red, green, blue, strict=True)]
    red_green = [r - g for r, g in zip(red, green, strict=True)]
    channels = [
        _channel(luma, picture.size, max(3, across), max(3, down)),
        _channel(yellow_blue, picture.size, _COLOUR_FREQUENCIES, _COLOUR_FREQUENCIES),
        _channel(red_green, picture.size, _COLOUR_FREQUENCIES, _COLOUR_FREQUENCIES),
    ]
    if alpha is not None:
        channels.append(_channel(alpha, picture.size, _ALPHA_FREQUENCIES, _ALPHA_FREQUENCIES))
    head = _head(channels, frequencies=down if width > height else across, is_wide=width > height)
    return head + _nibbles(wave for channel in channels for wave in channel.waves)


def _planes(picture: Image.Image) -> tuple[Sequence[float], Sequence[float], Sequence[float], Sequence[float] | None]:
    """Red, green, blue and alpha, 0 to 1; transparent pixels are blended with the mean colour of the others."""
    bands = [[value / 255 for value in band.tobytes()] for band in picture.split()]
    if len(bands) == 3 or min(bands[3]) == 1:
        return bands[0], bands[1], bands[2], None
    alpha = bands[3]
    weight = sum(alpha) or 1.0
    means = [sum(map(mul, band, alpha)) / weight for band in bands[:3]]
    red, green, blue = (
        [mean * (1 - a) + value * a for value, a in zip(band, alpha, strict=True)]
        for band, mean in zip(bands[:3], means, strict=True)
    )
    return red, green, blue, alpha


def _channel(values: Sequence[float], size: tuple[int, int], across: int, down: int) -> _Channel:
    width, height = size
    rows = [values[at : at + width] for at in range(0, width * height, width)]
    columns = [[sum(map(mul, row, cosine)) for row in rows] for cosine in _cosines(width, across)]
    waves = [
        sum(map(mul, columns[x], cosine)) / (width * height)
        for y, cosine in enumerate(_cosines(height, down))
        for x in range(across)
        if x * down < across * (down - y)
    ]
    mean, waves = waves[0], waves[1:]
    scale = max(map(abs, waves), default=0.0)
    return _Channel(mean, scale, [0.5 + 0.5 * wave / scale for wave in waves] if scale else waves)


@lru_cache(maxsize=64)
def _cosines(length: int, frequencies: int) -> list[list[float]]:
    return [
        [math.cos(math.pi / length * frequency * (place + 0.5)) for place in range(length)]
        for frequency in range(frequencies)
    ]


def _head(channels: Sequence[_Channel], *, frequencies: int, is_wide: bool) -> bytes:
    luma, yellow_blue, red_green = channels[:3]
    has_alpha = len(channels) > 3
    first = (
        _rounded(63 * luma.mean)
        | _rounded(31.5 + 31.5 * yellow_blue.mean) << 6
        | _rounded(31.5 + 31.5 * red_green.mean) << 12
        | _rounded(31 * luma.scale) << 18
        | has_alpha << 23
    )
    second = frequencies | _rounded(63 * yellow_blue.scale) << 3 | _rounded(63 * red_green.scale) << 9 | is_wide << 15
    head = first.to_bytes(3, "little") + second.to_bytes(2, "little")
    if has_alpha:
        head += bytes([_rounded(15 * channels[3].mean) | _rounded(15 * channels[3].scale) << 4])
    return head


def _nibbles(waves: Iterable[float]) -> bytes:
    values = [_rounded(15 * wave) for wave in waves]
    values += [0] * (len(values) % 2)
    return bytes(low | high << 4 for low, high in zip(values[::2], values[1::2], strict=True))


def _rounded(value: float) -> int:
    """Rounds to the nearest integer, halves up; Python's own `round` takes halves to the even one."""
    return math.floor(value + 0.5)
