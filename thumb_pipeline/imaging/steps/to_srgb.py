"""Step: convert colours from the picture's ICC profile to sRGB.

Runs after shrinking, where it costs a hundredth of the time. A profile that is broken or belongs to another kind of
picture is ignored, as in browsers. Pillow's own colour management (LittleCMS) is imported with the first profile.
"""

import functools
import io
from typing import TYPE_CHECKING

from PIL import Image, ImageChops

from thumb_pipeline.imaging.steps.tasks import ShrinkTask

if TYPE_CHECKING:
    from PIL.ImageCms import ImageCmsTransform

_INPUT_MODES = {
    b"GRAY": {"L": "L"},
    b"RGB ": {"L": "RGB", "RGB": "RGB", "YCbCr": "RGB", "RGBA": "RGBA"},
    b"CMYK": {"CMYK": "CMYK"},
}
"""The mode in which a profile can be applied, by the profile's colour space and the picture's mode."""

_KEPT_MODES = frozenset({"L", "RGB", "RGBA", "YCbCr"})

_SMALLEST_VISIBLE_STEP = 2
"""A profile that moves no colour by more than this many 255ths counts as sRGB: most cameras embed such a profile."""

_N_PROFILES_KEPT = 32


def to_srgb(picture: Image.Image, task: ShrinkTask) -> Image.Image:
    """The picture in sRGB: gray as L, JPEG's planes as YCbCr if nothing changes, anything else as RGB or RGBA."""
    transform, input_mode = _transform_for(picture.mode, task.profile)
    if transform is None:
        return picture if picture.mode in _KEPT_MODES else picture.convert("RGB")
    applied = transform.apply(picture if picture.mode == input_mode else picture.convert(input_mode))
    return applied.convert("L") if picture.mode == "L" else applied


def _transform_for(mode: str, profile: bytes | None) -> "tuple[ImageCmsTransform | None, str]":
    if mode == "LAB":
        return _transform(None, mode), mode
    input_mode = _INPUT_MODES.get(profile[16:20], {}).get(mode) if profile else None
    return (None, mode) if input_mode is None else (_transform(profile, input_mode), input_mode)


@functools.lru_cache(maxsize=_N_PROFILES_KEPT)
def _transform(profile: bytes | None, mode: str) -> "ImageCmsTransform | None":
    """The transform from a profile (None: CIELAB with the white of D50) to sRGB; None if there is nothing to apply."""
    from PIL import ImageCms

    try:
        transform = ImageCms.ImageCmsTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile) if profile is not None else ImageCms.createProfile("LAB")),
            ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")),
            mode,
            "RGBA" if mode == "RGBA" else "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        return None if mode == "RGB" and _changes_nothing(transform) else transform
    except (OSError, ValueError, TypeError, ImageCms.PyCMSError):
        return None  # a profile that LittleCMS cannot read or that has no table for this direction


def _changes_nothing(transform: "ImageCmsTransform") -> bool:
    levels = range(0, 256, 17)
    colours = bytes(channel for red in levels for green in levels for blue in levels for channel in (red, green, blue))
    probe = Image.frombytes("RGB", (len(colours) // 3, 1), colours)
    extrema = ImageChops.difference(probe, transform.apply(probe)).getextrema()
    return max(high for _, high in extrema) <= _SMALLEST_VISIBLE_STEP  # type: ignore[misc]  # three bands: three pairs
