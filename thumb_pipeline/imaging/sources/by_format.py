"""Opens a source with the module for its format: `decoders` for Pillow's formats, one module for each other library.

Recognising formats lives in `formats`. Finished variants are not opened here: all of them are in Pillow's formats.
"""

from typing import BinaryIO

from PIL import ImageFile

from thumb_pipeline.domain.moments import FrameAt
from thumb_pipeline.imaging.formats.formats import SUPPORTED
from thumb_pipeline.imaging.sources.decoders import open_header
from thumb_pipeline.imaging.sources.document import open_page
from thumb_pipeline.imaging.sources.heif import open_heif
from thumb_pipeline.imaging.sources.raw import open_raw
from thumb_pipeline.imaging.sources.video import DEMUXERS, open_video

_RAW = "camera RAW"


def can_open(format_name: str) -> bool:
    """Whether `open_source` has a decoder for a format that `formats` recognised."""
    return format_name in (*SUPPORTED, "HEIF", "PDF", *DEMUXERS) or format_name.startswith(_RAW)


def is_video(format_name: str) -> bool:
    """Whether a source of this format is a video, of which one frame is shown."""
    return format_name in DEMUXERS


def open_source(stream: BinaryIO, format_name: str, frame_at: FrameAt) -> ImageFile.ImageFile:
    """Reads a source's header; `load()` of the result decodes the pixels.

    Args:
        stream: seekable; it must stay open until the pixels are loaded.
        format_name: one for which `can_open` holds.
        frame_at: which frame of a video to take.

    Raises:
        Refused: the decoder says that the file cannot be rendered.
        refusals.DECODER_COMPLAINTS: the file is not sound.
    """
    if format_name in SUPPORTED:
        return open_header(stream, format_name)
    stream.seek(0)
    if format_name == "HEIF":
        return open_heif(stream)
    if format_name == "PDF":
        return open_page(stream)
    if format_name.startswith(_RAW):
        return open_raw(stream)
    return open_video(stream, format_name, frame_at)
