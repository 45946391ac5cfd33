"""The seal of a slice's file: a checksum over all of its bytes, and which slice of which table it was written for.

The seal is an entry of the key-value metadata in the file's footer. Its checksum is that of the file with the
checksum's own digits as zeros. A file whose seal holds is, byte for byte, what this program wrote. Polars cannot handle
damaged files (2.1 ends its process over wrong lengths), so it is never given one.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

_KEY = "thumb_pipeline:seal"
_MARK = _KEY.encode() + b"\x18"  # in Thrift's compact form the next field, a text, follows with its length
_ZEROS = b"0" * 32
_MAGIC = b"PAR1"
_TAIL = 8  # length of the footer, magic
_MOST_FOOTER = 64 * 1024 * 1024
_PIECE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Seal:
    """The slice that a file was written for by its own account, and whether its bytes are those that were written."""

    slice: str
    holds: bool


def metadata(slice_name: str) -> dict[str, str]:
    """The metadata for the footer of a file that is to be sealed."""
    return {_KEY: f"{_ZEROS.decode()} {slice_name}"}


def sealed(data: bytes) -> bytes:
    """The bytes of a file written with `metadata`, with the checksum's digits in place of the zeros."""
    start = len(data) - _TAIL - _footer_length(data)
    entry = _value_in(data[start:-_TAIL])
    assert entry is not None
    at = start + entry[0]
    return data[:at] + _digits(hashlib.sha256(data)) + data[at + len(_ZEROS) :]


def read_seal(descriptor: int) -> Seal | None:
    """The seal of an open file; None if it has none, or is not a Parquet file.

    Raises:
        OSError: it cannot be read.
    """
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, min(size, _PIECE), max(0, size - _PIECE))
    length = _footer_length(tail)
    if not 0 < length <= min(size - _TAIL, _MOST_FOOTER):
        return None
    start = size - _TAIL - length
    footer = tail[-_TAIL - length : -_TAIL] if length <= len(tail) - _TAIL else os.pread(descriptor, length, start)
    entry = _value_in(footer)
    if entry is None:
        return None
    at, value = start + entry[0], entry[1]
    digest = hashlib.sha256()
    for piece in (tail[:at], _ZEROS, tail[at + len(_ZEROS) :]) if len(tail) == size else _read_pieces(descriptor, at):
        digest.update(piece)
    checksum, _, slice_name = value.partition(b" ")
    return Seal(slice_name.decode("utf-8", "replace"), _digits(digest) == checksum)


def _read_pieces(descriptor: int, digits_at: int) -> Iterator[bytes]:
    """Reads a file piece by piece, with zeros in place of the checksum's digits."""
    at = 0
    while at < digits_at and (piece := os.pread(descriptor, min(_PIECE, digits_at - at), at)):
        yield piece
        at += len(piece)
    yield _ZEROS
    at += len(_ZEROS)
    while piece := os.pread(descriptor, _PIECE, at):
        yield piece
        at += len(piece)


def _footer_length(data: bytes) -> int:
    """The length of the footer by a file's last bytes; 0 if they are not those of a Parquet file."""
    return int.from_bytes(data[-_TAIL:-4], "little") if len(data) >= _TAIL and data.endswith(_MAGIC) else 0


def _value_in(footer: bytes) -> tuple[int, bytes] | None:
    """Where the value of the seal's key starts in a footer, and the value."""
    at = footer.find(_MARK) + len(_MARK)
    if at < len(_MARK):
        return None
    length, shift = 0, 0
    while at < len(footer) and shift < 14:  # two groups of seven bits: a slice's name is short
        byte = footer[at]
        length |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            break
    value = footer[at : at + length]
    return (at, value) if len(value) == length > len(_ZEROS) else None


def _digits(digest: "hashlib._Hash") -> bytes:
    return digest.hexdigest()[: len(_ZEROS)].encode()
