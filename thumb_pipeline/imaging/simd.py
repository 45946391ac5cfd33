"""Resampling with the processor's vector instructions, for gray and RGB pictures, if the wheel for it is installed.

The wheel does the same convolution as Pillow, up to rounding, in a quarter of the time. It reads and writes Pillow's
pixels in place, so it is tried on a small picture first: if another version of Pillow lays out its memory differently,
Pillow does all resampling. `steps.shrink` decides which pictures are resampled here.
"""

import functools
from collections.abc import Callable

from PIL import Image, ImageChops, ImageStat

Size = tuple[int, int]
Region = tuple[float, float, float, float]
Resample = Callable[[Image.Image, Size, Region], Image.Image]

_MODES = frozenset({"L", "RGB"})

_MOST_REDUCTION = 8
"""The wheel's weights have 16 bits, which is too coarse when hundreds of pixels make one. The mean difference to Pillow
is 0.6 of 255 when a photo is reduced by 8, and 1.3 when it is reduced by 64."""

_MOST_DEVIATION = 1.0
"""Largest mean difference to Pillow, in 255ths, that counts as rounding; on photos it is 0.3."""


@functools.cache
def simd_resampler() -> Resample | None:
    """Lanczos resampling of one region to one size; None if no wheel is installed or its result differs from Pillow's.

    The resampler may be called only where `is_exact_enough` holds.
    """
    try:
        from cykooz_resizer import CropBox, FilterType, ResizeAlg, ResizeOptions, Resizer
    except ImportError:
        return None
    resizer, lanczos = Resizer(), ResizeAlg.convolution(FilterType.lanczos3)

    def resample(picture: Image.Image, size: Size, region: Region) -> Image.Image:
        left, top, right, bottom = region
        options = ResizeOptions(resize_alg=lanczos, crop_box=CropBox(left, top, right - left, bottom - top))
        result = Image.new(picture.mode, size)
        resizer.resize_pil(picture, result, options)
        return result

    return resample if all(_agrees_with_pillow(resample, mode) for mode in sorted(_MODES)) else None


def is_exact_enough(mode: str, size: Size, region: Region) -> bool:
    """Whether vector instructions give the same result as Pillow, up to rounding, for this mode and reduction."""
    left, top, right, bottom = region
    return mode in _MODES and max((right - left) / size[0], (bottom - top) / size[1]) <= _MOST_REDUCTION


def _agrees_with_pillow(resample: Resample, mode: str) -> bool:
    gray = Image.linear_gradient("L").resize((48, 36))
    turned = gray.transpose(Image.Transpose.ROTATE_180)
    probe = gray if mode == "L" else Image.merge("RGB", (gray, turned, gray))
    size, region = (20, 15), (0.0, 0.0, 47.5, 35.5)
    ours = resample(probe, size, region)
    pillows = probe.resize(size, Image.Resampling.LANCZOS, box=region)
    return max(ImageStat.Stat(ImageChops.difference(ours, pillows)).mean) <= _MOST_DEVIATION
