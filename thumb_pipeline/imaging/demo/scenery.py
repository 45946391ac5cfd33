"""The landscapes below the demo's sky: hills in the haze, and in front a village, a forest or a lake.

The functions draw onto the picture they are given; the colours of the light come from `daylight`.
"""

import functools
import math
import random
from collections.abc import Callable

from PIL import Image, ImageDraw

from thumb_pipeline.imaging.demo.brushes import Color, Point, gradient, mixed, soft_noise
from thumb_pipeline.imaging.demo.daylight import Light, lit


def draw_hills(picture: Image.Image, light: Light, seed: int) -> None:
    """Four ridges, the far ones in the colour of the air, mist at the foot of each."""
    width, height = picture.size
    for layer, (base, rise, haze) in enumerate(
        ((0.60, 0.10, 0.72), (0.64, 0.075, 0.5), (0.69, 0.06, 0.28), (0.75, 0.05, 0.1))
    ):
        ridge = _ridge(seed, layer)
        line = [(x * width, (base - rise * y) * height) for x, y in ridge]
        top = math.floor(min(y for _, y in line))
        near = lit(mixed((74, 96, 112), (62, 88, 52), layer / 3), light)
        color = mixed(near, light.horizon, haze)
        mask = Image.new("L", (width, height - top))
        ImageDraw.Draw(mask).polygon(
            [(0, height - top), *((x, y - top) for x, y in line), (width, height - top)], fill=255
        )
        misty = mixed(color, light.horizon, 0.35)
        ground = gradient((color, color, misty), (width, round(height * (rise + 0.06))), mask.size)
        picture.paste(ground, (0, top), mask)


@functools.lru_cache(maxsize=32)
def _ridge(seed: int, layer: int) -> tuple[Point, ...]:
    """A line of hills: shares of the width, and heights around 0 to 1."""
    chance = random.Random(f"ridge {seed} {layer}")  # noqa: S311 - a picture, not a secret
    waves = [(chance.uniform(0.6, 1.0) / 1.9**n, 1.7**n * (1.0 + layer * 0.5), chance.random()) for n in range(7)]
    total = sum(strength for strength, _, _ in waves)

    def height(x: float) -> float:
        return 0.5 + sum(s * math.sin(math.tau * (x * often + phase)) for s, often, phase in waves) / total

    return tuple((step / 160, height(step / 160)) for step in range(161))


def _draw_forest(picture: Image.Image, light: Light, seed: int) -> None:
    """A meadow, and firs along its edge."""
    _draw_meadow(picture, light, seed, 0.88)
    chance = random.Random(f"forest {seed}")  # noqa: S311 - a picture, not a secret
    draw, (width, height) = ImageDraw.Draw(picture), picture.size
    for _ in range(44):
        x = chance.random()
        aside = abs(x - 0.55) * 2
        tall = height * (0.06 + 0.22 * aside**2 * chance.uniform(0.6, 1.1))
        color = lit(mixed((26, 48, 34), (40, 66, 40), chance.random()), light)
        _draw_fir(draw, (x * width, height * (0.9 + 0.04 * chance.random())), tall, color)


def _draw_fir(draw: ImageDraw.ImageDraw, foot: Point, tall: float, color: Color) -> None:
    x, y = foot
    draw.rectangle((x - tall * 0.02, y - tall * 0.15, x + tall * 0.02, y), fill=color)
    for tier in range(5):
        low, high = y - tall * (0.1 + 0.15 * tier), y - tall * (0.42 + 0.145 * tier)
        wide = tall * (0.2 - 0.033 * tier)
        draw.polygon([(x - wide, low), (x, high), (x + wide, low)], fill=color)


def _draw_lake(picture: Image.Image, light: Light, seed: int) -> None:
    """Still water that mirrors what is above it, and a jetty."""
    width, height = picture.size
    shore = round(height * 0.76)
    above = picture.crop((0, shore - (height - shore) * 2, width, shore))
    mirrored = above.transpose(Image.Transpose.FLIP_TOP_BOTTOM).resize((width, height - shore))
    water = Image.blend(mirrored, Image.new("RGB", mirrored.size, lit((38, 70, 92), light)), 0.34)
    ripples = soft_noise(seed + 7).crop((0, 0, 96, 128)).resize(mirrored.size, Image.Resampling.BICUBIC)
    bright = Image.blend(water, Image.new("RGB", water.size, light.horizon), 0.22)
    picture.paste(Image.composite(bright, water, ripples.point(_RIPPLES)), (0, shore))
    draw = ImageDraw.Draw(picture)
    wood = lit((84, 70, 58), light)
    for step in range(7):
        share = (step / 6) ** 2
        y, tall, thick = height * (0.865 + 0.135 * share), height * (0.02 + 0.03 * share), 1 + 4 * share
        for x in (0.60 + 0.06 * share, 0.615 + 0.185 * share):
            draw.rectangle((width * x - thick, y - tall, width * x + thick, y + tall), fill=wood)
    deck = ((0.60, 0.86), (0.615, 0.86), (0.80, 1.0), (0.66, 1.0))
    draw.polygon([(width * x, height * y) for x, y in deck], fill=mixed(wood, light.horizon, 0.15))


_RIPPLES = [min(255, max(0, (value - 118) * 6)) for value in range(256)]


def _draw_village(picture: Image.Image, light: Light, seed: int) -> None:
    """A meadow, houses whose windows are lit in the dark, and a church."""
    chance = random.Random(f"village {seed}")  # noqa: S311 - a picture, not a secret
    _draw_meadow(picture, light, seed, 0.83)
    draw, (width, height) = ImageDraw.Draw(picture), picture.size
    scale = max(picture.size)
    feet = [(width * chance.uniform(0.08, 0.92), height * chance.uniform(0.82, 0.9)) for _ in range(16)]
    for foot in sorted(feet, key=lambda foot: foot[1]):
        wide = scale * chance.uniform(0.022, 0.036)
        _draw_house(draw, foot, wide, light, is_awake=chance.random() < 0.6)
    _draw_church(draw, (width * 0.44, height * 0.85), scale * 0.055, light)


def _draw_church(draw: ImageDraw.ImageDraw, foot: Point, tall: float, light: Light) -> None:
    x, y = foot
    wall, roof = lit((226, 220, 206), light), lit((74, 62, 66), light)
    wide = tall * 0.3
    draw.rectangle((x + wide, y - tall * 0.45, x + wide * 3.4, y), fill=wall)
    draw.polygon(
        [(x + wide, y - tall * 0.45), (x + wide, y - tall * 0.8), (x + wide * 3.5, y - tall * 0.45)], fill=roof
    )
    draw.rectangle((x, y - tall, x + wide, y), fill=wall)
    draw.polygon([(x - 2, y - tall), (x + wide / 2, y - tall * 1.7), (x + wide + 2, y - tall)], fill=roof)


def _draw_house(draw: ImageDraw.ImageDraw, foot: Point, wide: float, light: Light, *, is_awake: bool) -> None:
    x, y = foot
    tall = wide * 0.5
    wall, roof = lit((216, 206, 188), light), lit((134, 72, 56), light)
    draw.rectangle((x, y - tall, x + wide, y), fill=wall)
    draw.polygon([(x - wide * 0.08, y - tall), (x + wide / 2, y - tall * 1.9), (x + wide * 1.08, y - tall)], fill=roof)
    window = (255, 214, 130) if is_awake and light.stars > 15 else lit((86, 92, 104), light)
    for left in (0.2, 0.62):
        draw.rectangle((x + wide * left, y - tall * 0.7, x + wide * (left + 0.16), y - tall * 0.35), fill=window)


def _draw_meadow(picture: Image.Image, light: Light, seed: int, base: float) -> None:
    width, height = picture.size
    line = [(x * width, (base - 0.02 * y) * height) for x, y in _ridge(seed, 4)]
    mask = Image.new("L", picture.size)
    ImageDraw.Draw(mask).polygon([(0, height), *line, (width, height)], fill=255)
    far, near = lit((104, 128, 66), light), lit((58, 84, 42), light)
    top = round(height * (base - 0.05))
    grass = gradient((far, near), (width, height - top), (width, height - top))
    picture.paste(grass, (0, top), mask.crop((0, top, width, height)))


FOREGROUNDS: tuple[Callable[[Image.Image, Light, int], None], ...] = (_draw_village, _draw_forest, _draw_lake)
