"""Reads what a variant file says of itself, and judges it: for `naive_checker`, with nothing of the code that reports.

What a record says of a file, and which files there should be, is in `naive_checker`.
"""

import hashlib
import io
import json
import re
import struct
import zlib
from fractions import Fraction
from typing import Any

from PIL import Image

from thumb_pipeline.domain.variants import RENDER_REVISION, VariantSpec

Row = dict[str, Any]
File = tuple[int, int]  # size, mtime in ns

_UNOPENABLE = (OSError, SyntaxError, ValueError, struct.error)
_NOTE = {
    **dict.fromkeys(("source_digest", "source_name_digest", "spec_fingerprint", "version", "checksum"), str),
    **dict.fromkeys(("source_n_bytes", "source_mtime_ns", "source_width_px", "source_height_px"), int),
    "render_revision": int,
}
_FORMS = {
    **dict.fromkeys(("source_digest", "source_name_digest", "checksum"), r"[0-9a-f]{32}"),
    **dict.fromkeys(("source_n_bytes", "render_revision"), r"\d+"),
    **dict.fromkeys(("source_width_px", "source_height_px"), r"[1-9]\d*"),
    "source_mtime_ns": r"-?\d+",
    "spec_fingerprint": r"[0-9a-f]{16}",
    "version": r"[ -~]{1,100}",
}
_MOST = {**dict.fromkeys(_FORMS, 2**31 - 1), "source_n_bytes": 2**63 - 1, "source_mtime_ns": 2**63 - 1}


def judged(data: bytes, source_name: bytes, source: File, spec: VariantSpec, source_digest: str | None) -> str:
    """What a file says of itself: `find_unrecorded` if it is right in all."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            size, note, is_marked = picture.size, note_in(picture), is_ours_or_was(picture)
    except _UNOPENABLE:
        return "corrupt"
    if note is None:
        return "corrupt" if is_marked else "stale_spec"
    if not is_sealed(data, note["checksum"]):
        return "corrupt"
    if source_digest not in (None, note["source_digest"]) or note["source_n_bytes"] != source[0]:
        return "stale_source"
    if source_digest is None and note["source_name_digest"] != digest(source_name):
        return "stale_source"
    if (note["spec_fingerprint"], note["render_revision"]) != (spec.fingerprint, RENDER_REVISION):
        return "stale_spec"
    if size != contained((note["source_width_px"], note["source_height_px"]), spec):
        return "corrupt"
    return "unrecorded" if source_digest is not None or note["source_mtime_ns"] == source[1] else "stale_source"


def note_of(data: bytes) -> Row | None:
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return note_in(picture)
    except _UNOPENABLE:
        return None


def note_in(picture: Image.Image) -> Row | None:
    """The note of ours that a variant carries, wherever its format has room for one."""
    for written in _written_in(picture):
        found = re.search(r"(?:^|>)thumb_pipeline:1:(\{.*\})(?:$|</)", written, re.DOTALL)
        try:
            note = json.loads(found[1]) if found else None
        except ValueError:
            continue
        if found and isinstance(note, dict) and is_as_we_write(note, found[1]):
            return note
    return None


def is_ours_or_was(picture: Image.Image) -> bool:
    """Whether there is the beginning of a note, whatever follows."""
    return any(re.search(r"(?:^|>)thumb_pipeline:1:", written) for written in _written_in(picture))


def is_as_we_write(note: Row, written: str) -> bool:
    if {name: type(value) for name, value in note.items()} != _NOTE:
        return False
    if not all(re.fullmatch(form, str(note[name]), re.ASCII) for name, form in _FORMS.items()):
        return False
    if any(isinstance(value, int) and value > _MOST[name] for name, value in note.items()):
        return False
    ours = json.dumps(note, sort_keys=True, separators=(",", ":"))
    return written in (ours, ours.replace("&", "\\u0026").replace("<", "\\u003c"))


def _written_in(picture: Image.Image) -> list[str]:
    texts = [picture.info.get("comment"), picture.info.get("thumb_pipeline"), picture.info.get("xmp")]
    return [text.decode("ascii", "replace") if isinstance(text, bytes) else text or "" for text in texts]


def is_sealed(data: bytes, checksum: str) -> bool:
    """Whether the bytes have the checksum they carry, taken with zeros in its place."""
    blank = data.replace(b'"checksum":"' + checksum.encode(), b'"checksum":"' + b"0" * 32, 1)
    if data.startswith(b"\x89PNG"):
        start = blank.index(b"tEXtthumb_pipeline")
        end = start + 4 + int.from_bytes(blank[start - 4 : start], "big")
        right = struct.pack(">I", zlib.crc32(data[start:end]))
        if data[end : end + 4] != right:
            return False
        blank = blank[:end] + struct.pack(">I", zlib.crc32(blank[start:end])) + blank[end + 4 :]
    return digest(blank) == checksum


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def contained(source: tuple[int, int], spec: VariantSpec) -> tuple[int, int]:
    """The size inside a box, never enlarged; halves are rounded up."""
    assert spec.fit == "contain"
    boxes = [(spec.max_width_px, source[0]), (spec.max_height_px, source[1])]
    ratio = min([Fraction(1), *(Fraction(box, side) for box, side in boxes if box)])
    width, height = (max(1, int(side * ratio + Fraction(1, 2))) for side in source)
    return width, height
