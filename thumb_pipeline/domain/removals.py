"""Removals that an operator starts: the operations, why a file was kept, and how many files are too many.

Which files are removed is decided in `stages.removal.sweep` and `stages.removal.purge`; nothing here touches a disk.
"""

from dataclasses import dataclass
from enum import StrEnum


class Operation(StrEnum):
    """The two ways of removing variants."""

    SWEEP = "sweep"  # files that nothing expects
    PURGE = "purge"  # every variant of a selection


class KeptReason(StrEnum):
    """Why a file that was planned to be removed, or put back, stays where it is."""

    GONE = "gone"  # somebody else removed it, or its folder, since the report
    CHANGED = "changed"  # other size or mtime than reported
    NOT_A_FILE = "not_a_file"  # a link, a folder or a special file has its name now
    OUTSIDE = "outside"  # its folder is reached through a link, or is no variant folder of its timelapse
    FRAMES = "frames"  # its folder is that of the sources
    EXPECTED = "expected"  # a source that it belongs to exists
    UNAVAILABLE = (
        "unavailable"  # the sources of its timelapse, or the library, can no longer be listed as in the report
    )
    OCCUPIED = "occupied"  # another file stands where it would be put
    NOT_MOVABLE = "not_movable"  # the file system refuses


KEPT_MEANING = {
    KeptReason.GONE: "no longer there",
    KeptReason.CHANGED: "changed since the report",
    KeptReason.NOT_A_FILE: "no longer regular files",
    KeptReason.OUTSIDE: "in folders that are reached through a link",
    KeptReason.FRAMES: "in the folder of the sources",
    KeptReason.EXPECTED: "expected again",
    KeptReason.UNAVAILABLE: "in timelapses that cannot be listed as in the report: check the disk and its mount",
    KeptReason.OCCUPIED: "blocked by another file, which is never replaced",
    KeptReason.NOT_MOVABLE: "refused by the file system: check permissions, space, the disk, and how long the path is",
}
"""The reasons in words that follow a number of files."""


def must_be_counted(operation: Operation, *, is_forced: bool, is_for_good: bool) -> bool:
    """Whether the operator must state the number of files before a removal: no other safeguard applies to it.

    Args:
        operation: a sweep has a brake on its size, a purge has none.
        is_forced: the brakes are overruled.
        is_for_good: the files cannot be brought back from a trash.
    """
    return is_for_good and (is_forced or operation is Operation.PURGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many of a place's variant files a removal would take; the place is a timelapse, or the library."""

    place: str
    n_taken: int
    n_files: int
    max_ratio: float

    def is_excessive(self, min_variants: int) -> bool:
        """Whether a removal this large must be confirmed: a broken listing or a wrong setting looks the same."""
        return self.n_taken >= min_variants and self.n_taken > self.max_ratio * self.n_files

    def __str__(self) -> str:
        ratio = self.n_taken / self.n_files if self.n_files else 1.0
        return (
            f"{self.place}: {self.n_taken} of {self.n_files} variant files, {ratio:.0%}; at most {self.max_ratio:.0%}"
        )
