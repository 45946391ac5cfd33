"""The sizes that follow from a box, a fit and a source: arithmetic only, in pixels.

Rounding follows imgproxy's and libvips' practice: to the nearest pixel, halves up, never below one (200x2 in a 75x75
box is 75x1). Ratios are kept as two integers: a float could round 499.5 either way. All sizes are of the
upright picture; where a file stores it turned by 90 degrees, the caller swaps them.
"""

from dataclasses import dataclass

from thumb_pipeline.domain.variants import Fit, Gravity, VariantSpec

Size = tuple[int, int]
Box = tuple[int, int, int, int]
_Ratio = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """What to do to an upright picture for one variant.

    Attributes:
        scaled: width and height the whole picture is scaled to.
        crop: left, top, right, bottom inside `scaled` that is kept.
        canvas: width and height of the variant; the kept part is centred on it.
    """

    scaled: Size
    crop: Box
    canvas: Size


def framing(source: Size, spec: VariantSpec) -> Framing:
    """Scale, crop and canvas that turn a picture of size `source` into the variant.

    Args:
        source: upright width and height, both at least 1.
        spec: the variant's recipe; an open side of its box follows from the other side.
    """
    scaled = _scaled(source, spec)
    width, height = _box(spec)
    if spec.fit is Fit.COVER:
        canvas = (_least(scaled[0], width), _least(scaled[1], height))
        left, top = _anchor(scaled, canvas, spec.gravity)
        return Framing(scaled=scaled, crop=(left, top, left + canvas[0], top + canvas[1]), canvas=canvas)
    if spec.fit is Fit.PAD:
        canvas = (scaled[0] if width is None else width, scaled[1] if height is None else height)
        return Framing(scaled=scaled, crop=(0, 0, *scaled), canvas=canvas)
    return Framing(scaled=scaled, crop=(0, 0, *scaled), canvas=scaled)


def variant_size(source: Size, spec: VariantSpec) -> Size:
    """Width and height the finished variant of an upright source has."""
    return framing(source, spec).canvas


def _scaled(source: Size, spec: VariantSpec) -> Size:
    ratios = [(limit, side) for limit, side in zip(_box(spec), source, strict=True) if limit is not None]
    if len(ratios) > 1:
        first_is_smaller = ratios[0][0] * ratios[1][1] <= ratios[1][0] * ratios[0][1]
        ratios = ratios[:1] if first_is_smaller is not (spec.fit is Fit.COVER) else ratios[1:]
    ratio = ratios[0] if ratios else (1, 1)
    if not spec.enlarge and ratio[0] > ratio[1]:
        ratio = (1, 1)
    return _times(source[0], ratio), _times(source[1], ratio)


def _times(side: int, ratio: _Ratio) -> int:
    numerator, denominator = ratio
    return max(1, (2 * side * numerator + denominator) // (2 * denominator))


def _least(side: int, limit: int | None) -> int:
    return side if limit is None else min(side, limit)


def _anchor(scaled: Size, kept: Size, gravity: Gravity) -> Size:
    spare_x, spare_y = scaled[0] - kept[0], scaled[1] - kept[1]
    left = {Gravity.WEST: 0, Gravity.EAST: spare_x}.get(gravity, spare_x // 2)
    top = {Gravity.NORTH: 0, Gravity.SOUTH: spare_y}.get(gravity, spare_y // 2)
    return left, top


def _box(spec: VariantSpec) -> tuple[int | None, int | None]:
    return spec.max_width_px, spec.max_height_px
