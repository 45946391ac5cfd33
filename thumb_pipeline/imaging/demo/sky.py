"""Draws the frames of the demo: a sky over a landscape, at any time of a day.

A picture depends on time of day, size and seed alone, so the demo library is the same everywhere. The seed decides the
ridges, the clouds and the foreground. Everything is drawn at half the size and enlarged: a frame costs some 30 ms, and
soft edges under a little grain look more like a camera than sharp ones. Which frames the demo has, and their names, is
in `stages.demo`; nothing here takes part in making thumbnails.
"""

import functools
import io
import math
import random
from datetime import datetime
from statistics import NormalDist

from PIL import Image, ImageChops, ImageDraw

from thumb_pipeline.imaging.demo.brushes import Point, Size, gradient, mixed, paste_disc, paste_glow, soft_noise
from thumb_pipeline.imaging.demo.daylight import Light, light_at
from thumb_pipeline.imaging.demo.scenery import FOREGROUNDS, draw_hills

_HORIZON = 0.66
"""Height of the horizon, as a share of the picture from the top."""

_LEAST_SIDE_PX = 16
"""Below this, meadows and mist would be less than one row of pixels high."""

_SUNRISE, _SUNSET = 0.25, 0.765
_MOONRISE, _MOONSET = 0.81, 1.21

_EXIF_FOLDER = 0x8769
_ORIENTATION, _ORIGINAL_TIME = 0x0112, 0x9003
_STORED_BY = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How an upright picture is turned before it is stored under an EXIF orientation: the inverse of applying it."""


def draw_sky(day_fraction: float, *, size: Size, seed: int) -> Image.Image:
    """The upright picture at a time of day.

    Args:
        day_fraction: 0 is midnight, 0.5 noon; 1 and more are later days, which differ only in their clouds and grain.
        size: upright width and height in pixels.
        seed: decides the place; equal seeds give equal pictures.
    """
    return _enlarged(_landscape(day_fraction, size, seed), size, day_fraction).convert("RGB")


def sky_jpeg(
    day_fraction: float,
    *,
    size: Size,
    seed: int,
    orientation: int = 1,
    quality: int = 88,
    captured_at: datetime | None = None,
) -> bytes:
    """The same picture as a camera would store it.

    Args:
        day_fraction: as for `draw_sky`.
        size: upright width and height in pixels; orientations 5 to 8 store them swapped.
        seed: as for `draw_sky`.
        orientation: EXIF orientation, 1 to 8, under which the picture is stored; applying it makes it upright.
        quality: JPEG quality.
        captured_at: the camera's local time for EXIF DateTimeOriginal; without it EXIF has no time.
    """
    picture = _enlarged(_landscape(day_fraction, size, seed), size, day_fraction)
    exif = Image.Exif()
    if orientation != 1:
        picture = picture.transpose(_STORED_BY[orientation])
        exif[_ORIENTATION] = orientation
    if captured_at is not None:
        exif.get_ifd(_EXIF_FOLDER)[_ORIGINAL_TIME] = captured_at.strftime("%Y:%m:%d %H:%M:%S")
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality, exif=exif.tobytes() if len(exif) or captured_at else b"")
    return file.getvalue()


def _landscape(day_fraction: float, size: Size, seed: int) -> Image.Image:
    light = light_at(day_fraction % 1.0)
    half = (max(_LEAST_SIDE_PX, size[0] // 2), max(_LEAST_SIDE_PX, size[1] // 2))
    picture = gradient((light.zenith, light.middle, light.horizon), (half[0], round(half[1] * _HORIZON) + 2), half)
    _draw_stars(picture, light, day_fraction, seed)
    _draw_sun(picture, day_fraction % 1.0)
    _draw_moon(picture, day_fraction % 1.0)
    _draw_clouds(picture, light, day_fraction, seed)
    draw_hills(picture, light, seed)
    FOREGROUNDS[seed % len(FOREGROUNDS)](picture, light, seed)
    return picture


def _enlarged(half: Image.Image, size: Size, day_fraction: float) -> Image.Image:
    """The finished picture in YCbCr, as JPEG stores it; only the brightness gets a good filter and grain."""
    luma, blue, red = half.convert("YCbCr").split()
    grainy = _with_grain(luma.resize(size, Image.Resampling.BICUBIC), day_fraction)
    return Image.merge("YCbCr", (grainy, *(part.resize(size, Image.Resampling.NEAREST) for part in (blue, red))))


def _draw_stars(picture: Image.Image, light: Light, day_fraction: float, seed: int) -> None:
    if light.stars == 0:
        return
    width, height = picture.size
    mask = Image.new("L", picture.size)
    draw = ImageDraw.Draw(mask)
    turned = day_fraction % 1.0 * 0.9
    for x, y, strength in _stars(seed):
        place = ((x + turned) % 1.0 * width, y * height * _HORIZON)
        # Near the horizon haze dims the stars.
        draw.point(place, fill=round(strength * light.stars * (1.0 - y * y)))
        if strength > 0.93:
            draw.point((place[0] + 1, place[1]), fill=round(strength * light.stars * (1.0 - y * y)))
    picture.paste((236, 240, 255), mask=mask)


@functools.lru_cache(maxsize=8)
def _stars(seed: int) -> tuple[tuple[float, float, float], ...]:
    chance = random.Random(f"stars {seed}")  # noqa: S311 - a picture, not a secret
    return tuple((chance.random(), chance.random(), 0.25 + 0.75 * chance.random() ** 3) for _ in range(420))


def _on_arc(share: float, height: float) -> Point:
    """The place of sun or moon on its way across the sky; shares of width and height."""
    return 0.06 + 0.88 * share, _HORIZON + 0.03 - height * math.sin(math.pi * share)


def _draw_sun(picture: Image.Image, at: float) -> None:
    share = (at - _SUNRISE) / (_SUNSET - _SUNRISE)
    if not -0.12 < share < 1.12:
        return
    width, height = picture.size
    x, y = _on_arc(share, 0.52)
    altitude = max(0.0, math.sin(math.pi * share))
    color = mixed((255, 150, 70), (255, 250, 232), min(1.0, altitude * 1.6))
    center = (x * width, y * height)
    reach = max(picture.size)
    paste_glow(picture, center, round(reach * (1.15 - 0.35 * altitude)), color, 0.75 - 0.3 * altitude, 2.6)
    paste_glow(picture, center, round(reach * 0.22), color, 0.75, 3.2)
    paste_disc(picture, center, reach * 0.018, mixed(color, (255, 255, 246), 0.55))


def _draw_moon(picture: Image.Image, at: float) -> None:
    share = ((at + 1.0 if at < 0.5 else at) - _MOONRISE) / (_MOONSET - _MOONRISE)
    if not 0.0 < share < 1.0:
        return
    width, height = picture.size
    x, y = _on_arc(share, 0.5)
    center, reach = (x * width, y * height), max(picture.size)
    paste_glow(picture, center, round(reach * 0.3), (150, 170, 220), 0.35, 2.8)
    paste_disc(picture, center, reach * 0.016, (238, 238, 226), shadow=0.45)


def _draw_clouds(picture: Image.Image, light: Light, day_fraction: float, seed: int) -> None:
    """Adds two fields of soft noise that drift at different speeds; where the sum is high, there is a cloud."""
    width, height = picture.size
    seen = (240, 112)
    drift = day_fraction * 4.37
    field = ImageChops.add(_cloud_field(seed, drift, seen), _cloud_field(seed + 1, drift * 1.6 + 0.3, seen), scale=2.0)
    cover = field.point(_CLOUD_COVER)
    shade = ImageChops.subtract(field, ImageChops.offset(field, 0, 5), scale=0.22, offset=128)
    color = Image.composite(Image.new("RGB", seen, light.cloud_shade), Image.new("RGB", seen, light.cloud), shade)
    area = (width, round(height * _HORIZON))
    picture.paste(color.resize(area, Image.Resampling.BICUBIC), (0, 0), cover.resize(area, Image.Resampling.BICUBIC))


_CLOUD_COVER = [round(225 * min(1.0, max(0.0, (value - 132) / 52)) ** 1.3) for value in range(256)]


def _cloud_field(seed: int, drift: float, size: Size) -> Image.Image:
    """The part of a cloud field that is overhead now, seen from below: wide above, flat towards the horizon."""
    tile = soft_noise(seed)
    side = tile.width // 2
    left = drift % 1.0 * side
    # The quad's corners: upper left, lower left, lower right, upper right. The far edge shows more of the field.
    corners = (left + 60, 120, left, 0, left + side, 0, left + side - 60, 120)
    return tile.transform(size, Image.Transform.QUAD, corners, Image.Resampling.BILINEAR)


def _with_grain(luma: Image.Image, day_fraction: float) -> Image.Image:
    """Adds sensor noise, stronger in the dark, as the gain is; without it files would be a tenth of a camera's."""
    chance = random.Random(f"grain {day_fraction}")  # noqa: S311 - a picture, not a secret
    width, height = luma.size
    is_day = _SUNRISE < day_fraction % 1.0 < _SUNSET
    tile = _grain_tile(max(luma.size) + 64, 3 if is_day else 4)
    left, top = chance.randrange(64), chance.randrange(64)
    return ImageChops.add(luma, tile.crop((left, top, left + width, top + height)), offset=-128)


@functools.lru_cache(maxsize=4)
def _grain_tile(side: int, sigma: int) -> Image.Image:
    # Pillow's own effect_noise uses the C library's generator, so each call gives another result.
    even = Image.frombytes("L", (side, side), random.Random("grain").randbytes(side * side))  # noqa: S311
    normal = NormalDist(128, sigma)
    return even.point([round(normal.inv_cdf((value + 0.5) / 256)) for value in range(256)])
