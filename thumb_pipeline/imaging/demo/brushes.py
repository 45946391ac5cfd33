"""Drawing tools for the pictures of the demo: mixed colours, gradients, lights, soft noise."""

import functools
import math
import random
from collections.abc import Sequence

from PIL import Image, ImageDraw

Color = tuple[int, int, int]
Size = tuple[int, int]
Point = tuple[float, float]


def mixed(one: Color, other: Color, share: float) -> Color:
    """The colour between two others; `share` 0 is the one, 1 the other."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def gradient(colors: Sequence[Color], filled: Size, size: Size) -> Image.Image:
    """A picture of `size` whose upper `filled` part runs through the colours; the last one goes on below."""
    strip = Image.new("RGB", (1, len(colors)))
    strip.putdata(colors)
    picture = Image.new("RGB", size, colors[-1])
    picture.paste(strip.resize((1, filled[1]), Image.Resampling.BICUBIC).resize(filled), (0, 0))
    return picture


def paste_glow(
    picture: Image.Image, center: Point, diameter: int, color: Color, strength: float, falloff: float
) -> None:
    """Lightens around a point; `strength` is the share of `color` in the middle, `falloff` the exponent outwards."""
    mask = _glow(round(strength * 100), round(falloff * 10)).resize((diameter, diameter), Image.Resampling.BILINEAR)
    picture.paste(color, (round(center[0] - diameter / 2), round(center[1] - diameter / 2)), mask)


@functools.lru_cache(maxsize=64)
def _glow(percent: int, falloff_tenths: int) -> Image.Image:
    # Pillow's gradient is 0 in the middle and 255 at a distance of half the side.
    curve = [round(percent / 100 * 255 * (1 - value / 255) ** (falloff_tenths / 10)) for value in range(256)]
    return Image.radial_gradient("L").point(curve)


def paste_disc(picture: Image.Image, center: Point, radius: float, color: Color, shadow: float = 0.0) -> None:
    """Draws a round light; `shadow` is the share that is missing, which leaves a crescent."""
    scale, side = 4, math.ceil(radius) * 2 + 2
    mask = Image.new("L", (side * scale, side * scale))
    draw = ImageDraw.Draw(mask)
    middle = side * scale / 2
    draw.circle((middle, middle), radius * scale, fill=255)
    if shadow:
        draw.circle((middle - radius * scale * (2 - 2 * shadow), middle - radius), radius * scale, fill=0)
    place = (round(center[0] - side / 2), round(center[1] - side / 2))
    picture.paste(color, place, mask.resize((side, side), Image.Resampling.BOX))


@functools.lru_cache(maxsize=16)
def soft_noise(seed: int) -> Image.Image:
    """Noise of five scales that repeats after half its width, so that it can drift for ever."""
    chance = random.Random(f"noise {seed}")  # noqa: S311 - a picture, not a secret
    side, tall = 256, 128
    total = Image.new("L", (side * 2, tall), 128)
    for octave, weight in enumerate((0.0, 0.5, 0.45, 0.4, 0.35)):
        grid = (4 << octave, 4 << octave)
        noise = Image.frombytes("L", grid, chance.randbytes(grid[0] * grid[1]))
        wide = Image.new("L", (grid[0] * 2, grid[1]))
        wide.paste(noise, (0, 0))
        wide.paste(noise, (grid[0], 0))
        smooth = wide.resize((side * 2, tall), Image.Resampling.BICUBIC)
        total = smooth if octave == 0 else Image.blend(total, smooth, weight * 0.6)
    return total
