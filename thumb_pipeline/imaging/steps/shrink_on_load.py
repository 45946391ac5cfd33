"""Step: let the decoder produce fewer pixels, if it can and every variant is smaller than the source."""

from PIL.JpegImagePlugin import JpegImageFile

from thumb_pipeline.domain.geometry import Size, framing
from thumb_pipeline.domain.variants import OutputFormat
from thumb_pipeline.imaging.refusals import decoding
from thumb_pipeline.imaging.simd import simd_resampler
from thumb_pipeline.imaging.steps.tasks import Source, as_upright, whole


def shrink_on_load(source: Source) -> None:
    """Sets `region`, and sets the decoder to the smallest of its scales that still covers the largest variant."""
    source.region = whole(source.stored_size)
    mode = "YCbCr" if _stays_in_planes(source) else None
    with decoding(source.stream, source.format):
        drafted = source.header.draft(mode, _needed_size(source))
    if drafted is not None:
        source.region = drafted[1]


def _needed_size(source: Source) -> Size:
    scaled = [framing(source.upright_size, spec).scaled for spec in source.specs]
    largest = (max((size[0] for size in scaled), default=1), max((size[1] for size in scaled), default=1))
    return as_upright(largest, source.exif.orientation)


def _stays_in_planes(source: Source) -> bool:
    """Whether the planes of luma and colours can and should stay separate on the way from JPEG to JPEG.

    That saves Pillow's resampling a third of its work; the resampling with vector instructions is faster on RGB pixels.
    libjpeg cannot make luma from files that store red, green and blue. It recognises them as this function does: by
    JFIF's marker, else by Adobe's, else by the names of the components.
    """
    header = source.header
    if not isinstance(header, JpegImageFile) or header.mode != "RGB":
        return False
    if simd_resampler() is not None or any(spec.format is not OutputFormat.JPEG for spec in source.specs):
        return False
    if "jfif" in header.info:
        return True
    if "adobe" in header.info:
        return header.info.get("adobe_transform") == 1
    return [component[0] for component in header.layer] == [1, 2, 3]
