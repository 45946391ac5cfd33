"""Pillow's decoders: which plugin opens which format. Also the versions of all decoders.

A format's plugin is imported with its first picture, and its own factory opens the file. `Image.open` would import
every plugin, hide the decoder's words and warn about sizes, which `Limits` judges. Recognising formats lives in
`formats`, formats that Pillow does not decode in `by_format`, the steps after opening in `steps`.
"""

import functools
import importlib
import logging
from typing import BinaryIO

import PIL
from PIL import Image, ImageFile, features

# Pillow logs an error before it raises it; without a handler Python prints that to the worker's standard error.
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
    "PSD": "PsdImagePlugin",
    "ICO": "IcoImagePlugin",
    "CUR": "CurImagePlugin",
    "PPM": "PpmImagePlugin",
    "TGA": "TgaImagePlugin",
}

_WHEELS = ("pi-heif", "rawpy", "pypdfium2", "av")
_CODECS = ("libjpeg_turbo", "zlib", "libtiff", "jpg_2000", "webp", "avif", "littlecms2")


def open_header(stream: BinaryIO, format_name: str) -> ImageFile.ImageFile:
    """Reads a picture's header; `load()` of the result decodes the pixels.

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
    """The versions of all decoders, as one short line that changes only with them.

    The codecs inside Pillow are named, because they may be the system's libraries; the other wheels bring their own.
    """
    from importlib import metadata  # 20 ms that a worker does not need

    codecs = ((name, features.version(name)) for name in _CODECS)
    wheels = ((name, metadata.version(name)) for name in _WHEELS)
    named = (f"{name}/{version}" for name, version in (*codecs, *wheels) if version)
    return " ".join([f"pillow/{PIL.__version__}", *named])
