"""Recognises a file's format by its first bytes, and whether its container ends too early.

The allow-list of formats that are decoded is here. Other formats have a signature here too, so that the message is
"not supported" instead of "not a picture". A file's name plays no part. Decoding lives in `sources`.
"""

import io
from typing import BinaryIO

from thumb_pipeline.imaging.formats.tiff_tags import TagReader

HEAD_N_BYTES = 1024
_TAIL_N_BYTES = 65_536

SUPPORTED = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000", "PSD", "ICO", "CUR", "PPM", "TGA")
"""Formats that Pillow decodes, by its names; MPO counts as JPEG until its index is read. Other libraries' formats are
in `sources.by_format`."""

_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (8, b"WEBP", "WEBP"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (8, b"CR\x02\x00", "camera RAW (CR2)"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (0, b"II+\x00", "TIFF"),
    (0, b"MM\x00+", "TIFF"),
    (0, b"BM", "BMP"),
    (0, b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG2000"),
    (0, b"IIRO", "camera RAW (ORF)"),
    (0, b"IIRS", "camera RAW (ORF)"),
    (0, b"MMOR", "camera RAW (ORF)"),
    (0, b"IIU\x00", "camera RAW (RW2)"),
    (0, b"FUJIFILMCCD-RAW", "camera RAW (RAF)"),
    (6, b"HEAPCCDR", "camera RAW (CRW)"),
    (0, b"FOVb", "camera RAW (X3F)"),
    (0, b"\x00MRM", "camera RAW (MRW)"),
    (0, b"8BPS", "PSD"),
    (0, b"gimp xcf", "XCF"),
    (0, b"\x00\x00\x01\x00", "ICO"),
    (0, b"icns", "ICNS"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JPEG XL"),
    (0, b"II\xbc", "JPEG XR"),
    (0, b"BPG\xfb", "BPG"),
    (0, b"\x8aMNG\r\n\x1a\n", "MNG"),
    (0, b"\x8bJNG\r\n\x1a\n", "JNG"),
    (0, b"FLIF", "FLIF"),
    (0, b"qoif", "QOI"),
    (0, b"DDS ", "DDS"),
    (0, b"\x76\x2f\x31\x01", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance HDR"),
    (0, b"#?RGBE", "Radiance HDR"),
    (0, b"SIMPLE  =", "FITS"),
    (0, b"%!PS", "PostScript"),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript"),
    (0, b"%PDF-", "PDF"),
    (0, b"<svg", "SVG"),
    (0, b"\x1a\x45\xdf\xa3", "video (Matroska)"),
    (8, b"AVI ", "video (AVI)"),
    (0, b"FLV\x01", "video (FLV)"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video (ASF)"),
    (0, b"\x00\x00\x01\xba", "video (MPEG)"),
    (0, b"\x00\x00\x01\xb3", "video (MPEG elementary)"),
    (0, b"OggS", "video (Ogg)"),
    (0, b".RMF", "video (RealMedia)"),
    (0, b"\x06\x0e\x2b\x34\x02\x05\x01\x01", "video (MXF)"),
    *((0, b"P" + digit + space, "PPM") for digit in (b"1", b"2", b"3", b"4", b"5", b"6") for space in (b"\n", b" ")),
)

_BOXED = ("AVIF", "HEIF", "video (ISO media)", "video (QuickTime)")
_END_MARKERS = {"JPEG": b"\xff\xd9", "JPEG2000": b"\xff\xd9", "PNG": b"IEND", "GIF": b"\x3b", "PDF": b"%%EOF"}
_AVIF_BRANDS = (b"avif", b"avis")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
_TIFF_PLACES = (273, 279, 324, 325)  # offsets and lengths of strips, then of tiles
_TS_PACKETS = ((0, 188), (4, 192))
_N_TS_PACKETS = 5
"""Transport streams have no signature, only a byte at the start of every packet of 188 bytes (Blu-ray: 192)."""

_TARGA_KINDS = (1, 2, 3, 9, 10, 11)  # palette, colour, gray; plain and run-length coded
_TARGA_DEPTHS = (8, 15, 16, 24, 32)
_QUICKTIME_ATOMS = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")


def identify(head: bytes) -> str | None:
    """The format of a file by its first `HEAD_N_BYTES` bytes, supported or not; None if it is not known."""
    if head[4:8] == b"ftyp":
        return _identify_iso_media(head)
    for offset, signature, name in _SIGNATURES:
        if head[offset : offset + len(signature)] == signature:
            return name
    if head[4:8] in _QUICKTIME_ATOMS:
        return "video (QuickTime)"
    if any(head[start::size][:_N_TS_PACKETS] == b"G" * _N_TS_PACKETS for start, size in _TS_PACKETS):
        return "video (MPEG-TS)"
    if b"<svg" in head:
        return "SVG"
    if head[:4] == b"\x00\x00\x02\x00" and head[4:6] != b"\x00\x00":
        return "CUR"
    return "TGA" if _may_be_targa(head) else None


def _may_be_targa(head: bytes) -> bool:
    """Whether a header makes sense as Targa. The format has no signature (Truevision TGA 2.0, fields 1 to 5)."""
    if len(head) < 18 or head[1] > 1 or head[2] not in _TARGA_KINDS or head[16] not in _TARGA_DEPTHS:
        return False
    has_palette, n_colours, colour_depth = head[1] == 1, int.from_bytes(head[5:7], "little"), head[7]
    palette_is_sound = n_colours > 0 and colour_depth in _TARGA_DEPTHS if has_palette else not any(head[3:8])
    return palette_is_sound and min(int.from_bytes(head[at : at + 2], "little") for at in (12, 14)) > 0


def ends_early(stream: BinaryIO, format_name: str) -> bool:
    """Whether the container shows that bytes are missing at its end.

    Call it only after a decoder has refused the file: some cameras append bytes of their own to sound files.
    """
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    head = stream.read(HEAD_N_BYTES)
    stream.seek(max(0, size - _TAIL_N_BYTES))
    tail = stream.read(_TAIL_N_BYTES)
    if format_name == "WEBP":
        return size < 8 + int.from_bytes(head[4:8], "little")
    if format_name == "BMP":
        return len(head) < 54 or size < int.from_bytes(head[2:6], "little")
    if format_name in _BOXED:
        return not _boxes_fill(stream, size)
    if format_name == "TIFF":
        return _points_beyond(stream, size)
    end_marker = _END_MARKERS.get(format_name)
    return end_marker is not None and end_marker not in (tail[-2:] if format_name == "GIF" else tail)


def _identify_iso_media(head: bytes) -> str:
    length = int.from_bytes(head[:4], "big")
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, min(length, len(head)) - 3, 4))}
    if head[8:12] in _AVIF_BRANDS or (head[8:12] in (b"mif1", b"msf1") and not brands.isdisjoint(_AVIF_BRANDS)):
        return "AVIF"
    if head[8:12] in _HEIF_BRANDS:
        return "HEIF"
    if head[8:12] == b"crx ":
        return "camera RAW (CR3)"
    return "video (ISO media)"


def _points_beyond(stream: BinaryIO, size: int) -> bool:
    """Whether a TIFF's first directory or its pixels lie behind the end of the file."""
    reader = TagReader(stream)
    tags = reader.first(_TIFF_PLACES)
    if not tags:
        return reader.first_offset >= size
    for offsets, lengths in (_TIFF_PLACES[:2], _TIFF_PLACES[2:]):
        places = zip(tags.get(offsets, ()), tags.get(lengths, ()), strict=False)
        if any(offset + length > size for offset, length in places):
            return True
    return False


def _boxes_fill(stream: BinaryIO, size: int) -> bool:
    offset = 0
    while offset < size:
        stream.seek(offset)
        header = stream.read(16)
        if len(header) < 8:
            return False
        length = int.from_bytes(header[:4], "big")
        if length == 1 and len(header) == 16:
            length = int.from_bytes(header[8:], "big")
        if length < 8:
            return length == 0  # a box of length 0 reaches to the end, whatever that is
        offset += length
    return offset == size
