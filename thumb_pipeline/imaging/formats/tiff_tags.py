"""Reads directories of tags in the TIFF structure that EXIF, TIFF files and most RAW files share.

It reads only integers and short texts, only the wanted tags, and never raises: cameras write wrong counts, types and
offsets. A general reader fails on a float where a SHORT belongs, and then a sound picture is refused. What the tags
mean is in `exif`, `raw_signs` and `formats`.
"""

import struct
from collections.abc import Iterable
from typing import BinaryIO

_INTEGER_CODES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I"}
_ASCII = 2
_MAX_ENTRIES = 4096
_MAX_VALUE_N_BYTES = 4096

Tags = dict[int, bytes | tuple[int, ...]]


class TagReader:
    """The directories of one TIFF structure that starts at `base` of a stream.

    Attributes:
        first_offset: where the first directory starts, by the header; 0 where the stream holds no such structure.
    """

    def __init__(self, stream: BinaryIO, base: int = 0) -> None:
        self._stream = stream
        self._base = base
        head = self._read(0, 8)
        self._order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(head[:4], "") if len(head) == 8 else ""
        self.first_offset: int = struct.unpack(f"{self._order}I", head[4:])[0] if self._order else 0

    def first(self, wanted: Iterable[int]) -> Tags:
        """The wanted tags of the first directory; empty if it cannot be read."""
        return self.at(self.first_offset, wanted)

    def at(self, offset: int, wanted: Iterable[int]) -> Tags:
        """The wanted tags of the directory at an offset; empty if it cannot be read."""
        header = self._read(offset, 2) if self._order and offset > 0 else b""
        if len(header) < 2:
            return {}
        n_entries = min(struct.unpack(f"{self._order}H", header)[0], _MAX_ENTRIES)
        entries = self._read(offset + 2, 12 * n_entries)
        tags: Tags = {}
        for start in range(0, len(entries) - 11, 12):
            tag, kind, count = struct.unpack_from(f"{self._order}HHI", entries, start)
            if tag in wanted and tag not in tags:
                value = self._value(kind, count, entries[start + 8 : start + 12])
                if value is not None:
                    tags[tag] = value
        return tags

    def _value(self, kind: int, count: int, field: bytes) -> bytes | tuple[int, ...] | None:
        code = "s" if kind == _ASCII else _INTEGER_CODES.get(kind)
        if code is None or not count:
            return None
        n_bytes = struct.calcsize(f"<{code}") * count
        if n_bytes > _MAX_VALUE_N_BYTES:
            return None
        if n_bytes > len(field):
            field = self._read(struct.unpack(f"{self._order}I", field)[0], n_bytes)
        if len(field) < n_bytes:
            return None
        return field[:n_bytes] if kind == _ASCII else struct.unpack(f"{self._order}{count}{code}", field[:n_bytes])

    def _read(self, offset: int, n_bytes: int) -> bytes:
        self._stream.seek(self._base + offset)
        return self._stream.read(n_bytes)


def integer(tags: Tags, tag: int) -> int | None:
    """A tag's first integer, or None."""
    value = tags.get(tag)
    return value[0] if isinstance(value, tuple) else None


def text(tags: Tags, tag: int) -> str | None:
    """A tag's text without padding, or None."""
    value = tags.get(tag)
    return value.split(b"\0", 1)[0].decode("ascii", "replace").strip() if isinstance(value, bytes) else None
