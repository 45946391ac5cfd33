"""A note as `to_text` writes it, and notes that nobody wrote: for the tests of everything that reads one."""

import json
from typing import Any

from thumb_pipeline.domain.provenance import EMPTY_CHECKSUM, MAGIC
from thumb_pipeline.domain.variants import RENDER_REVISION

FIELDS: dict[str, Any] = {
    "checksum": EMPTY_CHECKSUM,
    "render_revision": RENDER_REVISION,
    "source_digest": "0123456789abcdef" * 2,
    "source_height_px": 1080,
    "source_mtime_ns": 1_745_332_222_123_456_789,
    "source_n_bytes": 2_345_678,
    "source_name_digest": "fedcba9876543210" * 2,
    "source_width_px": 1920,
    "spec_fingerprint": "00112233aabbccdd",
    "version": "0.1.0",
}
"""A sound note of a picture, its fields in the order of the text."""

HOSTILE: dict[str, dict[str, Any]] = {
    "a lone surrogate for the source": {"source_digest": "\ud800"},
    "a lone surrogate for the moment": {"frame_at": "\ud800"},
    "sizes beyond the tables": {"source_n_bytes": 10**30},
    "times beyond the tables": {"source_mtime_ns": -(10**30)},
    "pixels beyond the tables": {"source_width_px": 10**30},
    "a picture without pixels": {"source_height_px": 0},
    "a revision beyond the tables": {"render_revision": 2**31},
    "a yes for a number": {"source_width_px": True},
    "a number for a text": {"version": 1},
    "a fraction for a number": {"source_n_bytes": 1.0},
    "what is no number": {"source_n_bytes": float("nan")},
    "nothing": {"source_digest": None},
    "a list": {"source_digest": ["0" * 32]},
    "capital digits": {"source_digest": "ABCDEF0123456789" * 2},
    "other digits": {"source_digest": "\u0661" * 32},
    "a digest with a line end": {"source_digest": "0" * 32 + "\n"},
    "too short a digest": {"source_name_digest": "0" * 31},
    "a recipe that is none": {"spec_fingerprint": "0" * 32},
    "a version of many words": {"version": "1" * 101},
    "no version": {"version": ""},
    "a version that rings": {"version": "\x1b[2J"},
    "a moment that is none": {"frame_at": "soon"},
    "an empty moment": {"frame_at": ""},
    "a field of its own": {"path": "../../x"},
}
"""Names of hostile notes, and in which fields they differ from a sound one."""


def note_text(**changed: Any) -> str:
    """The text of a note with other values in some fields, written as ours are."""
    return MAGIC + json.dumps({**FIELDS, **changed}, separators=(",", ":"), sort_keys=True)
