"""What removing files by hand means: the operations, why a file was kept, and how much is too much.

Which files are meant is decided in `stages.removal.sweep` and `stages.removal.purge`; nothing here touches a disk.
"""

from dataclasses import dataclass
from enum import StrEnum


class Operation(StrEnum):
    """The two ways of removing variants."""

    SWEEP = "sweep"  # files that nothing expects
    PURGE = "purge"  # every variant of a choice


class KeptReason(StrEnum):
    """Why a file that was planned to be removed, or put back, stays where it is."""

    GONE = "gone"  # somebody else removed it, or its folder, since the report
    CHANGED = "changed"  # other size or mtime than reported
    NOT_A_FILE = "not_a_file"  # a link, a folder or something special stands there now
    OUTSIDE = "outside"  # its folder is reached through a link, or is no variant folder of its timelapse
    FRAMES = "frames"  # its folder is the one of the sources
    EXPECTED = "expected"  # a source is there that it belongs to
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
    KeptReason.OCCUPIED: "in the way of another file, which is never replaced",
    KeptReason.NOT_MOVABLE: "refused by the file system: check permissions, space, the disk, and how long the path is",
}
"""The reasons in words that follow a number of files."""


def must_be_counted(operation: Operation, *, is_forced: bool, is_for_good: bool) -> bool:
    """Whether a removal is carried out only by who says how many files it takes: nothing else would stand in its way.

    Args:
        operation: a sweep has a brake on its size, a purge has none.
        is_forced: the brakes are to be overruled.
        is_for_good: nothing could be brought back from a trash.
    """
    return is_for_good and (is_forced or operation is Operation.PURGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many variant files of a place would go, of how many; the place is a timelapse, or the library."""

    place: str
    n_taken: int
    n_files: int
    max_ratio: float

    def is_excessive(self, min_variants: int) -> bool:
        """Whether so much must be meant expressly: a broken listing or a slip in the settings looks like this."""
        return self.n_taken >= min_variants and self.n_taken > self.max_ratio * self.n_files

    def __str__(self) -> str:
        ratio = self.n_taken / self.n_files if self.n_files else 1.0
        return (
            f"{self.place}: {self.n_taken} of {self.n_files} variant files, {ratio:.0%}; at most {self.max_ratio:.0%}"
        )
