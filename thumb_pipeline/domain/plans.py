"""The states a variant can be in, the reasons to make one, and the verdict on a variant file that was looked into.

Comparing whole tables is in `analytics.states`; these are its words, and the rules for one file.
"""

from dataclasses import dataclass
from enum import StrEnum

from thumb_pipeline.domain.geometry import variant_size
from thumb_pipeline.domain.provenance import Provenance
from thumb_pipeline.domain.variants import RENDER_REVISION, VariantSpec


class Reason(StrEnum):
    """Why a variant is to be made. The first that fits wins, in this order (but for `forced`, which beats all)."""

    MISSING = "missing"
    CORRUPT = "corrupt"
    STALE_SOURCE = "stale_source"
    STALE_SPEC = "stale_spec"
    RETRY = "retry"
    FORCED = "forced"


class State(StrEnum):
    """What comparing names, sizes and times alone tells of an expected variant, where it is not a `Reason`."""

    PENDING = "pending"  # the source is still being written
    FAILED = "failed"  # a remembered refusal that still stands
    EXAMINE = "examine"  # a file without a record, or not as recorded: its own provenance decides
    VALID = "valid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What a look into a variant file found; `provenance` is None for another program's file.

    Attributes:
        opens: it is a picture.
        is_whole: it fits its own checksum, or decodes to its end where it carries none.
    """

    opens: bool
    is_whole: bool = False
    width_px: int = 0
    height_px: int = 0
    provenance: Provenance | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What a variant must be to be right: the source as listed, and the recipe.

    Attributes:
        source_digest: of the source's bytes as they are now, where it is known; equal bytes beat another name or mtime.
    """

    source_n_bytes: int
    source_mtime_ns: int
    source_name_digest: str
    spec: VariantSpec
    source_digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Adopt the file (reason None), or make it again for a reason.

    Attributes:
        known_digest: digest of the source bytes it was made from, where only the source's name or mtime differs: if the
            bytes still have it, the file is right and is re-recorded.
        is_trusted: adopted without provenance, because the operator said so.
    """

    reason: Reason | None
    known_digest: str | None = None
    is_trusted: bool = False


def judge(found: Examined, expected: Expectation, *, trust_existing: bool) -> Verdict:
    """Whether an existing variant file may be adopted. Everything must be right; one doubt makes it again."""
    if not found.opens or not found.is_whole:
        return Verdict(reason=Reason.CORRUPT)
    note = found.provenance
    if note is None:
        fits = trust_existing and _fits_box(found, expected.spec)
        return Verdict(reason=None if fits else Reason.STALE_SPEC, is_trusted=fits)
    same_bytes = note.source_digest == expected.source_digest
    if not same_bytes and note.source_n_bytes != expected.source_n_bytes:
        return Verdict(reason=Reason.STALE_SOURCE)
    is_renamed = not same_bytes and note.source_name_digest != expected.source_name_digest
    if (note.spec_fingerprint, note.render_revision) != (expected.spec.fingerprint, RENDER_REVISION):
        return Verdict(reason=Reason.STALE_SOURCE if is_renamed else Reason.STALE_SPEC)
    size = variant_size((note.source_width_px, note.source_height_px), expected.spec)
    if size != (found.width_px, found.height_px):
        return Verdict(reason=Reason.STALE_SOURCE if is_renamed else Reason.CORRUPT)
    if is_renamed or (not same_bytes and note.source_mtime_ns != expected.source_mtime_ns):
        return Verdict(reason=Reason.STALE_SOURCE, known_digest=note.source_digest)
    return Verdict(reason=None)


def _fits_box(found: Examined, spec: VariantSpec) -> bool:
    return (spec.max_width_px is None or found.width_px <= spec.max_width_px) and (
        spec.max_height_px is None or found.height_px <= spec.max_height_px
    )
