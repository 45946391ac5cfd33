"""Variant files that are sealed as ours are and carry notes that nobody wrote, or headers that lie."""

import struct
import zlib
from typing import Any

from PIL import Image

from thumb_pipeline.domain.variants import OutputFormat
from thumb_pipeline.imaging.steps.encode import encode
from thumb_pipeline.imaging.variants.provenance import seal
from thumb_pipeline_tests.domain.notes import note_text
from thumb_pipeline_tests.imaging.pictures import scene, spec


def sealed(
    output_format: OutputFormat = OutputFormat.JPEG, picture: Image.Image | None = None, **changed: Any
) -> bytes:
    """A variant whose checksum holds, with other values in some fields of its note."""
    return seal(encode(picture or scene((64, 48)), spec(format=output_format), note_text(**changed)))[0]


def png_of_size(width: int, height: int) -> bytes:
    """A PNG whose header says so, and that has pixels for next to none of it."""
    head = struct.pack(">IIBBBBB", width % 2**32, height % 2**32, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 64)), (b"IEND", b""))
    made = b"\x89PNG\r\n\x1a\n"
    for name, body in chunks:
        made += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return made


def jpeg_of_size(width: int, height: int) -> bytes:
    """A JPEG whose frame header says so."""
    data = bytearray(sealed())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def bmp_of_size(width: int, height: int) -> bytes:
    """A BMP whose header says so; negative heights are allowed there."""
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 64, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(10)


def tiff_of_size(width: int, height: int) -> bytes:
    """A TIFF whose directory says so, in numbers of 32 bits."""
    entries = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (279, 4, 1)]
    body = struct.pack("<H", len(entries))
    for tag, kind, value in entries:
        body += struct.pack("<HHII", tag, kind, 1, value % 2**32)
    return b"II*\0" + struct.pack("<I", 8) + body + struct.pack("<I", 0)
