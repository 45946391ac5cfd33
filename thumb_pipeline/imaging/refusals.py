"""Turns the errors of decoders and encoders into values of the closed list of failures.

This module decides which exceptions count as a complaint about the file, and which reason fits. What a reason means to
the pipeline lives in `domain.failures`. The parent of the worker process notices its crashes and hangs.
"""

import contextlib
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from PIL import Image

from thumb_pipeline.domain.failures import Failure, FailureReason
from thumb_pipeline.imaging.formats.formats import ends_early

DECODER_COMPLAINTS: tuple[type[Exception], ...] = (
    OSError,  # a codec reports an error; UnidentifiedImageError
    SyntaxError,  # a plugin finds its header malformed
    ValueError,  # impossible sizes, chunks or text bombs; UnicodeDecodeError in names inside the file
    EOFError,  # the first frame is missing
    struct.error,  # a header field is cut off
    LookupError,  # data ends inside a header; an unknown mode
    TypeError,  # a tag has another type than its reader expects
    ArithmeticError,  # sizes beyond a C integer, rationals over zero
    AssertionError,  # plugins assert what a sound file guarantees
    AttributeError,  # a plugin uses a part that was never read
    RuntimeError,  # WebP and AVIF bindings; chains of directories that recurse too deep
    zlib.error,  # compressed profiles and text inside PNG
    Image.DecompressionBombError,  # Pillow's limit, behind our own
)
"""What Pillow 13 raises on files that are not sound, found by cutting real files and flipping their bytes."""

ENCODER_COMPLAINTS: tuple[type[Exception], ...] = (
    OSError,  # a codec reports an error
    ValueError,  # sizes or modes a format cannot have
    OverflowError,  # sizes beyond a C integer
    RuntimeError,  # WebP and AVIF bindings
    struct.error,  # a size that does not fit its field
)
"""What Pillow 13 raises on pictures that a format cannot hold."""

_UNSUPPORTED_WORDS = ("cannot handle", "unknown pixel mode", "unsupported", "password")
"""Decoders use these words when a sound file needs a feature they lack (12-bit JPEG, five channels, encryption)."""

_TRUNCATION_WORDS = ("truncated", "but only got", "unexpected end", "not enough data", "premature")


class Refused(Exception):
    """A step's verdict that the source cannot be rendered."""

    def __init__(self, reason: FailureReason, detail: str) -> None:
        super().__init__(reason, detail)
        self.failure = Failure(reason=reason, detail=detail)


@contextlib.contextmanager
def decoding(stream: BinaryIO, format_name: str) -> Iterator[None]:
    """Turns every error of a decoder inside the block into `Refused`, with the decoder's own words."""
    try:
        yield
    except MemoryError as error:
        raise Refused(FailureReason.OUT_OF_MEMORY, words(error)) from error
    except DECODER_COMPLAINTS as error:
        raise Refused(_reason(error, stream, format_name), words(error)) from error


def words(error: BaseException) -> str:
    """An exception as one line for people."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _reason(error: Exception, stream: BinaryIO, format_name: str) -> FailureReason:
    if isinstance(error, Image.DecompressionBombError):
        return FailureReason.TOO_LARGE
    if isinstance(error, OSError) and error.errno is not None:
        # The system's errors have a number, a codec's errors have none.
        return FailureReason.UNREADABLE
    text = str(error).lower()
    if "out of memory" in text:
        return FailureReason.OUT_OF_MEMORY
    if any(word in text for word in _UNSUPPORTED_WORDS):
        return FailureReason.UNSUPPORTED
    if isinstance(error, EOFError) or any(word in text for word in _TRUNCATION_WORDS):
        return FailureReason.TRUNCATED
    return FailureReason.TRUNCATED if ends_early(stream, format_name) else FailureReason.DAMAGED
