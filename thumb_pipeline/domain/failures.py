"""Why a source got no variant: a closed list of reasons, and which of them pass by themselves.

A bad picture is a value of this module; a bad environment (disk full, folder gone) is an exception elsewhere.
"""

from dataclasses import dataclass
from enum import StrEnum

from thumb_pipeline.domain.plain_text import plain


class FailureReason(StrEnum):
    """Why a source, or one variant of it, could not be made. The list is closed and documented in docs/failures.md."""

    NOT_AN_IMAGE = "not_an_image"
    UNSUPPORTED = "unsupported"
    TRUNCATED = "truncated"
    DAMAGED = "damaged"
    TOO_LARGE = "too_large"
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    CRASHED = "crashed"
    UNREADABLE = "unreadable"
    VARIANT_IMPOSSIBLE = "variant_impossible"

    @property
    def is_transient(self) -> bool:
        """Whether the same bytes may succeed later; then they are retried a few times, at growing intervals."""
        return self is FailureReason.UNREADABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One refusal: a reason from the closed list, and the decoder's own words as plain text."""

    reason: FailureReason
    detail: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "detail", plain(self.detail))
