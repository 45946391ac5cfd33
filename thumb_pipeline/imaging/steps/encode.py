"""Step: encode the picture in the variant's format, with the note of its provenance inside.

The note's checksum is still empty here; `provenance.seal` computes it over the finished bytes and fills it in.
"""

import contextlib
import importlib
import io
from collections.abc import Iterator
from typing import Any

from PIL import Image, ImageFile

from thumb_pipeline.domain.variants import OutputFormat, VariantSpec
from thumb_pipeline.imaging.variants.provenance import note_options

_PLUGINS = {
    OutputFormat.JPEG: "JpegImagePlugin",
    OutputFormat.PNG: "PngImagePlugin",
    OutputFormat.WEBP: "WebPImagePlugin",
    OutputFormat.AVIF: "AvifImagePlugin",
}


def encode(picture: Image.Image, spec: VariantSpec, note: str) -> bytes:
    """The bytes of the variant's file.

    Raises:
        refusals.ENCODER_COMPLAINTS: the format cannot hold the picture.
    """
    importlib.import_module(f"PIL.{_PLUGINS[spec.format]}")
    buffer = io.BytesIO()
    with _enlarge_buffer(picture, spec):
        picture.save(buffer, spec.format.upper(), **_options(spec), **note_options(spec.format, note))
    return buffer.getvalue()


def _options(spec: VariantSpec) -> dict[str, Any]:
    match spec.format:
        case OutputFormat.JPEG:
            return {"quality": spec.quality, "progressive": spec.progressive, "subsampling": "4:2:0"}
        case OutputFormat.PNG:
            return {}
        case OutputFormat.WEBP:
            return {"quality": spec.quality}
        case OutputFormat.AVIF:
            # One thread, because several workers share the processors already; the result is the same.
            return {"quality": spec.quality, "max_threads": 1}


@contextlib.contextmanager
def _enlarge_buffer(picture: Image.Image, spec: VariantSpec) -> Iterator[None]:
    """Enlarges Pillow's buffer so that it holds a whole progressive JPEG.

    libjpeg writes it in one go, and Pillow's own guess is too small for noise at high quality ("encoder error -2").
    """
    usual = ImageFile.MAXBLOCK
    if spec.format is OutputFormat.JPEG and spec.progressive:
        ImageFile.MAXBLOCK = max(usual, 4 * picture.width * picture.height)
    try:
        yield
    finally:
        ImageFile.MAXBLOCK = usual
