"""What a report can say of a variant, a source and a file that nothing expects: the closed lists of words.

Finding it out is done by comparing tables (`analytics`) and opening files (`stages`); why a variant is to be made is
`plans.Reason`.
"""

from enum import StrEnum


class VariantState(StrEnum):
    """The one state of a variant. Where several fit, the first wins, in this order."""

    ORPHAN = "orphan"  # a file that nothing expects
    PENDING = "pending"  # its source is still being written
    FAILED = "failed"  # a remembered refusal of its source that still stands
    MISSING = "missing"
    CORRUPT = "corrupt"  # does not open, has the wrong size, or fails its own checksum
    STALE_SOURCE = "stale_source"  # made from other bytes
    STALE_SPEC = "stale_spec"  # made by another recipe
    UNRECORDED = "unrecorded"  # right in all, but no record says so
    VALID = "valid"

    @property
    def is_wrong(self) -> bool:
        """Whether somebody has to do something about it; what is pending passes by itself."""
        return self not in (VariantState.VALID, VariantState.PENDING)


class SourceFinding(StrEnum):
    """What can be wrong with a source. It is only ever reported: sources are not ours to change."""

    VANISHED = "vanished"  # in the accepted inventory, and not on the disk
    REPLACED = "replaced"  # other size or mtime than in the accepted inventory
    BIT_ROT = "bit_rot"  # same size and mtime, other bytes
    UNREADABLE = "unreadable"  # it is there, and its bytes cannot be read


class OrphanKind(StrEnum):
    """Why nothing expects a file in a variant folder."""

    SOURCE_GONE = "source_gone"
    SPEC_RETIRED = "spec_retired"  # the settings know no such variant (any more)
    POLICY = "policy"  # source and variant exist; the policy asks for no such variant of this capture
    UNPARSABLE_NAME = "unparsable_name"
    TEMPORARY = "temporary"  # an unfinished file whose writer was killed
    FOREIGN_TEMPORARY = "foreign_temporary"  # looks like one, and no process that this library knows has written it
