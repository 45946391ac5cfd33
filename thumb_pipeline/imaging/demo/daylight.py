"""The colours of a day, for the pictures of the demo: sky, clouds, and the light on the land.

`sky` and `scenery` draw with them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from thumb_pipeline.imaging.demo.brushes import Color, mixed


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """The colours of one moment; `stars` is their strength, 0 to 255."""

    at: float
    zenith: Color
    middle: Color
    horizon: Color
    cloud: Color
    cloud_shade: Color
    land: Color
    stars: int

    @property
    def colors(self) -> tuple[Color, ...]:
        """All colours, in the order of the table below."""
        return self.zenith, self.middle, self.horizon, self.cloud, self.cloud_shade, self.land


def light_at(day_fraction: float) -> Light:
    """The light at a time of day from 0 (midnight) to just below 1."""
    after = next(index for index, light in enumerate(_DAY) if light.at > day_fraction)
    first, second = _DAY[after - 1], _DAY[after]
    share = (day_fraction - first.at) / (second.at - first.at)
    colors = [mixed(one, other, share) for one, other in zip(first.colors, second.colors, strict=True)]
    return _light(day_fraction, colors, round(first.stars + (second.stars - first.stars) * share))


def lit(color: Color, light: Light) -> Color:
    """How something of this colour looks in this light."""
    red, green, blue = (part * by // 255 for part, by in zip(color, light.land, strict=True))
    return red, green, blue


def _light(at: float, colors: Sequence[Color], stars: int) -> Light:
    zenith, middle, horizon, cloud, cloud_shade, land = colors
    return Light(
        at=at,
        zenith=zenith,
        middle=middle,
        horizon=horizon,
        cloud=cloud,
        cloud_shade=cloud_shade,
        land=land,
        stars=stars,
    )


def _color(digits: str) -> Color:
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue


_NIGHT = ("05091a 0b132e 1a2646 2c344e 161c32 26304c", 255)
_DAY = tuple(
    _light(at, [_color(digits) for digits in colors.split()], stars)
    for at, colors, stars in (
        (0.0, *_NIGHT),
        (0.19, *_NIGHT),
        (0.225, "0e183c 2a3c6c 806c80 626082 30365a 363c58", 110),
        (0.253, "304e92 8888b2 faa880 ffb094 847094 70626c", 8),
        (0.29, "4678c2 98b8da ffd8a4 ffe2c2 b4a6b4 c4b298", 0),
        (0.38, "2e6eca 72aae4 c8deee fffcf6 bec8d8 eeeee2", 0),
        (0.5, "205ec0 62a0e2 bcd8ee ffffff c4cede fffff4", 0),
        (0.64, "2e6ac2 76a8dc d2dce0 fffaee bec2ce faeed6", 0),
        (0.715, "3e6cb6 a4b2c4 ffce82 ffdeae a696a4 e4be8c", 0),
        (0.755, "2e3e82 ae788a ff8a46 ff9666 705478 8e6864", 0),
        (0.785, "1a245a 54467c d46e62 ba6c78 3e365c 4e4660", 20),
        (0.82, "0d153a 1d2b5c 54547a 4a4e74 242a4c 343a5a", 130),
        (0.87, *_NIGHT),
        (1.0, *_NIGHT),
    )
)
"""A day by its colours: zenith, middle of the sky, horizon, cloud, its shade, and the light on the land."""
