"""Reads from EXIF what the renderer needs: the orientation, and when the picture was taken.

It also knows where each format stores its EXIF. Everything else in EXIF is neither read nor kept. `tiff_tags` reads the
structure underneath; the step `orient` turns the pixels.
"""

import datetime as dt
import io
import re
from dataclasses import dataclass
from typing import BinaryIO

from PIL import Image

from thumb_pipeline.imaging.formats.tiff_tags import TagReader, integer, text
from thumb_pipeline.imaging.sources.foreign import ForeignFile

_ORIENTATION = 0x0112
_EXIF_DIRECTORY = 0x8769
_DATE_TIME, _OFFSET_TIME = 0x0132, 0x9010
_DATE_TIME_ORIGINAL, _OFFSET_TIME_ORIGINAL = 0x9003, 0x9011
_DATE_TIME_DIGITIZED, _OFFSET_TIME_DIGITIZED = 0x9004, 0x9012

_EARLIEST_YEAR = 1900
_DATE_PATTERN = re.compile(r"(\d{4})[:/.-](\d\d)[:/.-](\d\d)[ T](\d\d):(\d\d):(\d\d)")
_OFFSET_PATTERN = re.compile(r"[+-](0\d|1[0-4]):[0-5]\d")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExifFacts:
    """The facts of one EXIF block.

    Attributes:
        orientation: 1 to 8 as EXIF defines them; 1 where it is missing or not one of these.
        captured_at: `YYYY-MM-DDTHH:MM:SS`, with `+HH:MM` where recorded; None where missing or impossible.
    """

    orientation: int = 1
    captured_at: str | None = None


def read_exif(picture: Image.Image, stream: BinaryIO) -> ExifFacts:
    """The EXIF facts of an opened picture; a missing or broken one has its default.

    A TIFF file is its own EXIF block, and so are most RAW files. The orientation is 1 where the decoder applies it.
    """
    if picture.format == "TIFF" or isinstance(picture, ForeignFile):
        return ExifFacts(captured_at=_facts(TagReader(stream)).captured_at)
    block = _block(picture)
    facts = _facts(TagReader(io.BytesIO(block))) if block else ExifFacts()
    return ExifFacts(captured_at=facts.captured_at) if picture.format == "HEIF" else facts


def _block(picture: Image.Image) -> bytes:
    exif = picture.info.get("exif")
    if isinstance(exif, bytes):
        return exif.removeprefix(b"Exif\0\0")
    profile = picture.info.get("Raw profile type exif")  # ImageMagick writes EXIF into PNG text, in hex
    if not isinstance(profile, str):
        return b""
    digits = "".join(profile.split("\n")[3:])
    try:
        return bytes.fromhex(digits).removeprefix(b"Exif\0\0")
    except ValueError:
        return b""


def _facts(reader: TagReader) -> ExifFacts:
    main = reader.first((_ORIENTATION, _EXIF_DIRECTORY, _DATE_TIME))
    detail = reader.at(
        integer(main, _EXIF_DIRECTORY) or 0,
        (
            _DATE_TIME_ORIGINAL,
            _DATE_TIME_DIGITIZED,
            _OFFSET_TIME,
            _OFFSET_TIME_ORIGINAL,
            _OFFSET_TIME_DIGITIZED,
        ),
    )
    orientation = integer(main, _ORIENTATION)
    captured_at = (
        _instant(text(detail, _DATE_TIME_ORIGINAL), text(detail, _OFFSET_TIME_ORIGINAL))
        or _instant(text(detail, _DATE_TIME_DIGITIZED), text(detail, _OFFSET_TIME_DIGITIZED))
        or _instant(text(main, _DATE_TIME), text(detail, _OFFSET_TIME))
    )
    return ExifFacts(
        orientation=orientation if orientation is not None and 1 <= orientation <= 8 else 1, captured_at=captured_at
    )


def _instant(stamp: str | None, offset: str | None) -> str | None:
    match = _DATE_PATTERN.match(stamp or "")
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups())
    try:
        instant = dt.datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - the camera's wall clock
    except ValueError:
        return None
    if year < _EARLIEST_YEAR:
        return None
    return instant.isoformat() + (offset if offset and _OFFSET_PATTERN.fullmatch(offset) else "")
