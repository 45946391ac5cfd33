"""The note that every variant file carries about where it came from, as text and as a value.

A file may come from anywhere, and so may its note: one that no version of this program could have written is ignored.
`imaging` writes the text into JPEG, PNG, WebP and AVIF files, and reads it from them.
"""

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass

from thumb_pipeline.domain.moments import is_moment

MAGIC = "thumb_pipeline:1:"
"""Starts every note, so that it differs from a camera's own comments."""

DIGEST_FORM = "[0-9a-f]{32}"
"""The pattern of every digest: the first 32 hex digits of a SHA-256."""

EMPTY_CHECKSUM = "0" * 32
"""Placeholder in the note while the checksum of the finished file is computed; 32 hex digits, like the checksum."""

MAX_NOTE_CHARACTERS = 2_048
"""More than any note has, even with the longest version and every character escaped."""

LARGEST_SIDE_PX = 2**31 - 1
"""The largest width and height that the tables can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Which source bytes and which recipe a variant was made from.

    Digests are the first 32 hex digits of a SHA-256, so that they can be compared with `sha256sum` by eye.
    `source_name_digest` is taken over the name's bytes, because variants are public and paths are not. `checksum`
    covers the whole variant file, with the checksum's own 32 digits replaced by zeros. `frame_at` says which moment of
    a video is shown; it is empty, and left out of the note, for a source that is not a video.

    Raises:
        ValueError: a field does not have the form in which it is written, or does not fit the tables.
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

    def __post_init__(self) -> None:
        for name, is_sound in _FORMS.items():
            if not is_sound(getattr(self, name)):
                raise ValueError(f"{name} is not valid in a provenance")

    def to_text(self) -> str:
        """The note as one line of ASCII that starts with `MAGIC`."""
        fields = {name: value for name, value in asdict(self).items() if value or name != "frame_at"}
        return MAGIC + json.dumps(fields, separators=(",", ":"), sort_keys=True)

    @classmethod
    def from_text(cls, text: str) -> "Provenance | None":
        """The note that `to_text` wrote, or None for anything else (a camera's comment, a note of another layout).

        Two characters may be escaped without need, as they are in a note inside XML (`without_markup`).
        """
        if not text.startswith(MAGIC) or len(text) > MAX_NOTE_CHARACTERS:
            return None
        try:
            note = cls(**json.loads(text.removeprefix(MAGIC)))
        except (ValueError, TypeError, RecursionError):
            return None
        # Another order, a repeated field, another number format: such a note parses, but is not ours.
        return note if without_markup(note.to_text()) == without_markup(text) else None


def without_markup(note: str) -> str:
    """A note's text in which the two characters that XML would read as markup are JSON escapes."""
    return note.replace("&", "\\u0026").replace("<", "\\u003c")


def _text(form: str) -> Callable[[object], bool]:
    pattern = re.compile(form)
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def _integer(least: int, most: int) -> Callable[[object], bool]:
    return lambda value: type(value) is int and least <= value <= most


_FORMS: dict[str, Callable[[object], bool]] = {
    **dict.fromkeys(("source_digest", "source_name_digest", "checksum"), _text(DIGEST_FORM)),
    **dict.fromkeys(("source_width_px", "source_height_px"), _integer(1, LARGEST_SIDE_PX)),
    "source_n_bytes": _integer(0, 2**63 - 1),
    "source_mtime_ns": _integer(-(2**63), 2**63 - 1),
    "spec_fingerprint": _text("[0-9a-f]{16}"),
    "render_revision": _integer(0, 2**31 - 1),
    "version": _text("[ -~]{1,100}"),
    "frame_at": lambda value: isinstance(value, str) and (not value or is_moment(value)),
}
"""The form of each field: digests are made in `stages.workers.process`, the fingerprint in `variants`."""
