"""The note that every variant file carries about where it came from, as text and as a value.

Files come from anywhere, and so do their notes: one that no version of ours could have written is no note. How the text
gets into and out of JPEG, PNG, WebP and AVIF files is `imaging`'s business.
"""

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass

from thumb_pipeline.domain.moments import is_moment

MAGIC = "thumb_pipeline:1:"
"""Starts every note, so that it can be told from a camera's own comments."""

DIGEST_FORM = "[0-9a-f]{32}"
"""The pattern of every digest: the first 32 hex digits of a SHA-256."""

EMPTY_CHECKSUM = "0" * 32
"""Stands in the note while the checksum over the finished file is taken; 32 hex digits, as the checksum itself."""

MAX_NOTE_CHARACTERS = 2_048
"""More than any note has, with its longest version and every character escaped."""

LARGEST_SIDE_PX = 2**31 - 1
"""What the tables hold of a picture's width and height."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Which source bytes, under which recipe, made a variant.

    Digests are the first 32 hex digits of a SHA-256, so that `sha256sum` confirms them by eye. `source_name_digest`
    is taken over the name's bytes: variants are public and paths are not. `checksum` covers the whole variant file,
    read with the checksum's own 32 digits replaced by zeros. `frame_at` says which moment of a video is shown; where
    it is empty, the source has no moments, and the note has no word of it.

    Raises:
        ValueError: a field is not of the form that its maker gives it, or does not fit the tables.
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
                raise ValueError(f"no provenance has such a {name}")

    def to_text(self) -> str:
        """The note as one line of ASCII that starts with `MAGIC`."""
        fields = {name: value for name, value in asdict(self).items() if value or name != "frame_at"}
        return MAGIC + json.dumps(fields, separators=(",", ":"), sort_keys=True)

    @classmethod
    def from_text(cls, text: str) -> "Provenance | None":
        """The note that `to_text` wrote, or None for anything else (a camera's comment, a note of another layout).

        Two characters may be escaped that need not be, as they are where the note stands in XML (`without_markup`).
        """
        if not text.startswith(MAGIC) or len(text) > MAX_NOTE_CHARACTERS:
            return None
        try:
            note = cls(**json.loads(text.removeprefix(MAGIC)))
        except (ValueError, TypeError, RecursionError):
            return None
        # Another order, a field twice, a number written otherwise: all that came out right and was not ours.
        return note if without_markup(note.to_text()) == without_markup(text) else None


def without_markup(note: str) -> str:
    """A note's text without the two characters that XML would read as markup: JSON has other words for them."""
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
"""What each field can be, by its maker: the digests in `stages.workers.process`, the fingerprint in `variants`."""
