"""The note that every variant file carries about where it came from, as text and as a value.

How the text gets into and out of JPEG, PNG, WebP and AVIF files is `imaging`'s business.
"""

import json
from dataclasses import asdict, dataclass

MAGIC = "thumb_pipeline:1:"
"""Starts every note, so that it can be told from a camera's own comments."""

EMPTY_CHECKSUM = "0" * 32
"""Stands in the note while the checksum over the finished file is taken; 32 hex digits, as the checksum itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Which source bytes, under which recipe, made a variant.

    Digests are the first 32 hex digits of a SHA-256, so that `sha256sum` confirms them by eye. `source_name_digest`
    is taken over the name's bytes: variants are public and paths are not. `checksum` covers the whole variant file,
    read with the checksum's own 32 digits replaced by zeros. `frame_at` says which moment of a video is shown; where
    it is empty, the source has no moments, and the note has no word of it.
    """

    source_digest: str
    source_n_bytes: int
    source_mtime_ns: int
    source_name_digest: str
    source_width_px: int
    source_height_px: int
    spec_fingerprint: str
    render_revision: int
    version: str
    checksum: str = EMPTY_CHECKSUM
    frame_at: str = ""

    def to_text(self) -> str:
        """The note as one line of ASCII that starts with `MAGIC`."""
        fields = {name: value for name, value in asdict(self).items() if value or name != "frame_at"}
        return MAGIC + json.dumps(fields, separators=(",", ":"), sort_keys=True)

    @classmethod
    def from_text(cls, text: str) -> "Provenance | None":
        """The note that `to_text` wrote, or None for anything else (a camera's comment, a note of another layout)."""
        if not text.startswith(MAGIC):
            return None
        try:
            fields = json.loads(text.removeprefix(MAGIC))
            note = cls(**fields)
        except (ValueError, TypeError):
            return None
        wanted = {name: int if name in _INTEGERS else str for name in cls.__slots__}
        return note if all(type(getattr(note, name)) is kind for name, kind in wanted.items()) else None


_INTEGERS = frozenset({"source_n_bytes", "source_mtime_ns", "source_width_px", "source_height_px", "render_revision"})
