"""Puts the note of a variant's provenance into its file, seals it, and reads it back.

The note is in a comment segment after JFIF's in JPEG, in a `tEXt` chunk before the pixels in PNG, and in an XMP packet
in WebP and AVIF. What the note says is in `domain.provenance`.

The checksum covers all bytes of the file, with the checksum's own 32 digits set to zeros. In PNG the note's chunk has a
CRC: the checksum covers the CRC of the chunk with zeros. When the digits are put in, the CRC is computed again, and it
is checked as part of the file.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterator
from typing import Any

from thumb_pipeline.domain.provenance import (
    EMPTY_CHECKSUM,
    MAGIC,
    MAX_NOTE_CHARACTERS,
    Provenance,
    without_markup,
)
from thumb_pipeline.domain.variants import OutputFormat

_MAGIC = MAGIC.encode("ascii")
_DIGITS_KEY = b'"checksum":"'
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_KEYWORD = "thumb_pipeline"
_XMP_PACKET = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/">'
    "<dc:source>{}</dc:source></rdf:Description></rdf:RDF></x:xmpmeta>"
)

_Span = tuple[int, int]


def note_options(output_format: OutputFormat, note: str) -> dict[str, Any]:
    """The options of Pillow's encoder that put the note where the reader looks for it."""
    if output_format is OutputFormat.JPEG:
        return {"comment": note.encode("ascii")}
    if output_format is OutputFormat.PNG:
        from PIL import PngImagePlugin

        chunks = PngImagePlugin.PngInfo()
        chunks.add_text(_PNG_KEYWORD, note)
        return {"pnginfo": chunks}
    return {"xmp": _XMP_PACKET.format(without_markup(note)).encode("ascii")}


def seal(data: bytes) -> tuple[bytes, str]:
    """The file with the checksum's digits in place of the zeros, and the checksum.

    Raises:
        ValueError: there is no unsealed note in the file.
    """
    digits = _digits_span(data)
    if digits is None or data[slice(*digits)] != EMPTY_CHECKSUM.encode("ascii"):
        raise ValueError("there is no unsealed note in the file")
    checksum = hashlib.sha256(data).hexdigest()[: len(EMPTY_CHECKSUM)]
    return _with_digits(data, digits, checksum), checksum


def read_provenance(data: bytes) -> Provenance | None:
    """The provenance in a variant's file; None if it has no note of ours."""
    span = _note_span(data)
    if span is None or span[1] - span[0] > MAX_NOTE_CHARACTERS:
        return None
    return Provenance.from_text(data[slice(*span)].decode("ascii", "replace"))


def bears_our_mark(data: bytes) -> bool:
    """Whether a file has text in the place of our note that begins like one, readable or not."""
    return _note_span(data) is not None


def checksum_holds(data: bytes, provenance: Provenance) -> bool:
    """Whether the file is byte for byte the one that was sealed with this provenance."""
    digits = _digits_span(data)
    if digits is None:
        return False
    blank = _with_digits(data, digits, EMPTY_CHECKSUM)
    checksum = hashlib.sha256(blank).hexdigest()[: len(EMPTY_CHECKSUM)]
    # Compare the sealed file, not only the hash: with zeros put in, a PNG's wrong CRC has been replaced.
    return checksum == provenance.checksum and _with_digits(blank, digits, checksum) == data


def _with_digits(data: bytes, digits: _Span, checksum: str) -> bytes:
    changed = bytearray(data)
    changed[slice(*digits)] = checksum.encode("ascii")
    if data.startswith(_PNG_SIGNATURE):
        for start, end in _png_chunks(data):
            if start <= digits[0] < end:
                changed[end : end + 4] = struct.pack(">I", zlib.crc32(changed[start - 4 : end]))
    return bytes(changed)


def _digits_span(data: bytes) -> _Span | None:
    span = _note_span(data)
    at = -1 if span is None else data.find(_DIGITS_KEY, *span)
    if span is None or at < 0:
        return None
    start = at + len(_DIGITS_KEY)
    end = start + len(EMPTY_CHECKSUM)
    return (start, end) if end <= span[1] else None


def _note_span(data: bytes) -> _Span | None:
    """Where the text of the note starts and ends, in any container; None if there is no note."""
    if data.startswith(b"\xff\xd8"):
        spans = (span for marker, span in _jpeg_segments(data) if marker == 0xFE)
        return next((span for span in spans if data.startswith(_MAGIC, span[0])), None)
    if data.startswith(_PNG_SIGNATURE):
        prefix = _PNG_KEYWORD.encode("ascii") + b"\0"
        texts = (span for span in _png_chunks(data) if data[span[0] - 4 : span[0]] == b"tEXt")
        spans = ((start + len(prefix), end) for start, end in texts if data.startswith(prefix, start))
        return next((span for span in spans if data.startswith(_MAGIC, span[0])), None)
    if data[8:12] == b"WEBP":
        packets = (span for name, span in _riff_chunks(data) if name == b"XMP ")
        return next((found for found in (_span_in_xmp(data, span) for span in packets) if found), None)
    return _span_in_xmp(data, (0, len(data))) if data[4:8] == b"ftyp" else None


def _span_in_xmp(data: bytes, packet: _Span) -> _Span | None:
    start = data.find(b">" + _MAGIC, *packet) + 1
    end = data.find(b"</", start, packet[1])
    return (start, end) if 0 < start < end else None


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, _Span]]:
    """Marker and payload of each segment before the first scan."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        end = at + 2 + length
        if length < 2 or end > len(data):
            return
        yield data[at + 1], (at + 4, end)
        at = end


def _png_chunks(data: bytes) -> Iterator[_Span]:
    """The payload of each chunk before the pixels; the four bytes before it are the chunk's name."""
    at = len(_PNG_SIGNATURE)
    while at + 12 <= len(data) and data[at + 4 : at + 8] != b"IDAT":
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data):
            return
        yield at + 8, end
        at = end + 4


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, _Span]]:
    at = 12
    while at + 8 <= len(data):
        end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        if end > len(data):
            return
        yield data[at : at + 4], (at + 8, end)
        at = end + (end - at) % 2
