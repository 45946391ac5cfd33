"""The states a variant can be in, the reasons to make one, and the verdict on a variant file that was opened.

`analytics.states` compares whole tables in these words; the rules for a single file are here.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from thumb_pipeline.domain.geometry import variant_size
from thumb_pipeline.domain.moments import DEFAULT_FRAME_AT
from thumb_pipeline.domain.provenance import Provenance
from thumb_pipeline.domain.variants import RENDER_REVISION, VariantSpec


class Reason(StrEnum):
    """Why a variant is to be made. The first that fits wins, in this order (except `forced`, which beats all)."""

    MISSING = "missing"
    CORRUPT = "corrupt"
    STALE_SOURCE = "stale_source"
    STALE_SPEC = "stale_spec"
    RETRY = "retry"
    FORCED = "forced"


class State(StrEnum):
    """The state of an expected variant by names, sizes and times alone, where there is no `Reason` to make it."""

    PENDING = "pending"  # the source is still being written
    FAILED = "failed"  # a recorded refusal that still holds
    EXAMINE = "examine"  # a file without a record, or not as recorded: its provenance decides
    VALID = "valid"
    ADOPTED = "adopted"  # examined, and right: it is recorded, not made


class RecordState(StrEnum):
    """What the manifest says of a variant."""

    MADE = "made"
    FAILED = "failed"


class Origin(StrEnum):
    """Where the file of a recorded variant came from."""

    RENDERED = "rendered"
    ADOPTED = "adopted"  # it has our provenance, and is what would be made now
    TRUSTED = "trusted"  # another program's file, accepted because the operator said so


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What was found in an opened variant file; `provenance` is None for another program's file.

    Attributes:
        opens: whether it is a picture.
        is_whole: whether it matches its own checksum, or, without one, decodes to its end.
    """

    opens: bool
    is_whole: bool = False
    width_px: int = 0
    height_px: int = 0
    provenance: Provenance | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What a right variant was made from: its source as listed, the recipe, and for a video the moment.

    Attributes:
        source_digest: digest of the source's bytes as listed now; None if they were not read. If it is known, name and
            mtime do not count: equal bytes under another name or mtime are the same source, renamed or touched.
    """

    source_n_bytes: int
    source_mtime_ns: int
    source_name_digest: str
    spec: VariantSpec
    frame_at: str = DEFAULT_FRAME_AT.text
    source_digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Adopt the file (reason None), or make it again for a reason.

    Attributes:
        known_digest: digest of the source bytes it was made from, if only the source's name or mtime differs. If the
            source still has this digest, the file is right and is only recorded again.
        is_trusted: adopted without provenance, because the operator said so.
        detail: the reason in words, for people.
    """

    reason: Reason | None
    known_digest: str | None = None
    is_trusted: bool = False
    detail: str = field(default="", compare=False)


def judge(found: Examined, expected: Expectation, *, trust_existing: bool) -> Verdict:
    """Whether an existing variant file may be adopted. Everything must be right; on any doubt it is made again."""
    if not found.opens or not found.is_whole:
        return Verdict(reason=Reason.CORRUPT, detail="it does not open, or is not whole")
    note = found.provenance
    if note is None:
        fits = trust_existing and fits_box(found, expected.spec)
        detail = "" if fits else "another program's file: it says nothing about its source and its recipe"
        return Verdict(reason=None if fits else Reason.STALE_SPEC, is_trusted=fits, detail=detail)
    if (doubt := _other_bytes(note, expected)) is not None:
        return Verdict(reason=Reason.STALE_SOURCE, detail=doubt)
    fault = _fault_of_making(found, note, expected)
    if expected.source_digest is not None:
        return fault or Verdict(reason=None)
    if note.source_name_digest != expected.source_name_digest:
        known = note.source_digest if fault is None else None
        return Verdict(reason=Reason.STALE_SOURCE, known_digest=known, detail="made from a source of another name")
    if fault is None and note.source_mtime_ns != expected.source_mtime_ns:
        detail = "made when its source had another mtime"
        return Verdict(reason=Reason.STALE_SOURCE, known_digest=note.source_digest, detail=detail)
    return fault or Verdict(reason=None)


def _other_bytes(note: Provenance, expected: Expectation) -> str | None:
    """Why a variant was not made from these source bytes; None if it may have been."""
    if expected.source_digest is not None and note.source_digest != expected.source_digest:
        return f"made from source bytes {note.source_digest}, not {expected.source_digest}"
    if note.source_n_bytes != expected.source_n_bytes:
        return f"made from a source of {note.source_n_bytes} bytes, not {expected.source_n_bytes}"
    return None


def _fault_of_making(found: Examined, note: Provenance, expected: Expectation) -> Verdict | None:
    """What is wrong with a variant apart from its source: another recipe, moment or size; None if nothing is."""
    if (note.spec_fingerprint, note.render_revision) != (expected.spec.fingerprint, RENDER_REVISION):
        return Verdict(reason=Reason.STALE_SPEC, detail="made by another recipe")
    if note.frame_at not in ("", expected.frame_at):
        return Verdict(reason=Reason.STALE_SPEC, detail="shows another moment of the video")
    size = variant_size((note.source_width_px, note.source_height_px), expected.spec)
    if size != (found.width_px, found.height_px):
        shown = f"{found.width_px}x{found.height_px} pixels instead of {size[0]}x{size[1]}"
        return Verdict(reason=Reason.CORRUPT, detail=shown)
    return None


def fits_box(found: Examined, spec: VariantSpec) -> bool:
    """Whether a picture is no larger than its variant may be."""
    return (spec.max_width_px is None or found.width_px <= spec.max_width_px) and (
        spec.max_height_px is None or found.height_px <= spec.max_height_px
    )
