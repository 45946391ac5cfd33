"""The decoders that may be used: which plugin opens which format, and which versions they are.

A format's plugin is imported when its first picture comes, and opened through its own factory rather than
`Image.open`, which would import every plugin, hide the decoder's words and warn about sizes that `Limits` judges.
Recognising formats lives in `formats`, what happens after opening in `steps`.
"""

import functools
import importlib
import logging
from typing import BinaryIO

import PIL
from PIL import Image, ImageFile, features

# Pillow logs what it then raises; without a handler Python prints that to the worker's standard error.
logging.getLogger("PIL").addHandler(logging.NullHandler())

_PLUGINS = {
    "JPEG": "JpegImagePlugin",
    "PNG": "PngImagePlugin",
    "WEBP": "WebPImagePlugin",
    "GIF": "GifImagePlugin",
    "TIFF": "TiffImagePlugin",
    "BMP": "BmpImagePlugin",
    "AVIF": "AvifImagePlugin",
    "JPEG2000": "Jpeg2KImagePlugin",
}

_CODECS = ("libjpeg_turbo", "zlib", "libtiff", "jpg_2000", "webp", "avif", "littlecms2")


def open_header(stream: BinaryIO, format_name: str) -> ImageFile.ImageFile:
    """Reads a picture's header; pixels are decoded by its `load()`.

    Args:
        stream: seekable; it must stay open until the pixels are loaded.
        format_name: one of `formats.SUPPORTED`.

    Raises:
        refusals.DECODER_COMPLAINTS: what the plugin raises on a header that is not sound.
    """
    importlib.import_module(f"PIL.{_PLUGINS[format_name]}")
    factory, _accepts = Image.OPEN[format_name]
    stream.seek(0)
    return factory(stream, "")


@functools.cache
def decoder_version() -> str:
    """The versions of Pillow and of the libraries inside it, as one short line that is the same until they change."""
    codecs = ((name, features.version(name)) for name in _CODECS)
    return " ".join([f"pillow/{PIL.__version__}", *(f"{name}/{version}" for name, version in codecs if version)])
