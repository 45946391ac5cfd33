"""The closed lists of words that reports use for variants, sources and unexpected files.

Which word applies is decided by comparing tables (`analytics`) and opening files (`stages`). Why a variant is to be
made is `plans.Reason`.
"""

from enum import StrEnum


class VariantState(StrEnum):
    """The one state of a variant. Where several fit, the first wins, in this order."""

    ORPHAN = "orphan"  # a file that nothing expects
    PENDING = "pending"  # its source is still being written
    FAILED = "failed"  # its source was refused, and that record still holds
    MISSING = "missing"
    CORRUPT = "corrupt"  # does not open, has the wrong size, or fails its own checksum
    STALE_SOURCE = "stale_source"  # made from other bytes
    STALE_SPEC = "stale_spec"  # made by another recipe
    UNRECORDED = "unrecorded"  # right in every respect, but not recorded
    VALID = "valid"

    @property
    def is_wrong(self) -> bool:
        """Whether somebody has to act; a pending variant needs no action."""
        return self not in (VariantState.VALID, VariantState.PENDING)


class SourceFinding(StrEnum):
    """What can be wrong with a source. It is only reported: sources are never changed."""

    VANISHED = "vanished"  # in the accepted inventory, but not on the disk
    REPLACED = "replaced"  # other size or mtime than in the accepted inventory
    BIT_ROT = "bit_rot"  # same size and mtime, other bytes
    UNREADABLE = "unreadable"  # it exists, but its bytes cannot be read


class OrphanKind(StrEnum):
    """Why nothing expects a file in a variant folder."""

    SOURCE_GONE = "source_gone"
    SPEC_RETIRED = "spec_retired"  # the settings have no such variant (any more)
    POLICY = "policy"  # source and variant exist, but the policy does not ask for this variant of this capture
    UNPARSABLE_NAME = "unparsable_name"
    TEMPORARY = "temporary"  # an unfinished file whose writer was killed
    FOREIGN_TEMPORARY = "foreign_temporary"  # named like one, but no process known to this library wrote it
