"""A planned removal: which files are to go and why, the records that go with them, and what stands against it.

A removal is a value; what belongs on it is decided in `sweep` and `purge`, writing it down is `journal`, and carrying
it out `carry_out`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from thumb_pipeline.domain.quantities import counted
from thumb_pipeline.domain.removals import Operation, must_be_counted
from thumb_pipeline.stages.inventory.selection import complaint_about
from thumb_pipeline.stages.inventory.survey import Shrinkage
from thumb_pipeline.stages.library.refused import Refused

FORCE = "--force"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovalWish:
    """What the operator asked for; empty tuples mean everything.

    Attributes:
        timelapses: keys.
        variants: names, of a purge.
        force: overrule the brakes.
        use_trash: move into the trash; without it files are unlinked for good.
        by_policy: of a sweep, also what exists for a source that exists, only that no policy asks for it any more.
        expected_files: how many files are to go, as a plan has shown; None where nobody says so.
    """

    timelapses: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    force: bool = False
    use_trash: bool = True
    by_policy: bool = False
    expected_files: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What a sweep or a purge would do.

    Attributes:
        operation: which of the two.
        wish: what it was asked for.
        keys: the timelapses it looked at.
        files: to be removed, one row each (`stages.planning.orphans.ORPHANS` columns).
        records: manifest rows that go where no file is left for them.
        n_sources: sources that were listed, by timelapse.
        n_listed: files in the variant folders, by timelapse; of a sweep.
        n_by_policy: files that a sweep leaves, as only a policy asks for them no more; 0 where it was to take them.
        n_foreign: files that a sweep leaves, as they may be somebody's unfinished ones: no process that is known here
            has written them.
        objections: what the brakes say, in sentences; empty when they say nothing.
    """

    operation: Operation
    wish: RemovalWish
    keys: list[str]
    files: pl.DataFrame
    records: pl.DataFrame
    n_sources: dict[str, int] = field(default_factory=dict)
    n_listed: dict[str, int] = field(default_factory=dict)
    n_by_policy: int = 0
    n_foreign: int = 0
    objections: list[str] = field(default_factory=list)

    @property
    def n_bytes(self) -> int:
        """Bytes of the files."""
        return int(self.files["n_bytes"].sum())

    @property
    def is_forced(self) -> bool:
        """Whether it was asked to overrule the brakes."""
        return self.wish.force

    @property
    def is_refused(self) -> bool:
        """Whether a brake holds and nobody overruled it."""
        return bool(self.objections) and not self.is_forced

    def refuse_objections(self) -> None:
        """Stops where a brake holds and nobody overruled it.

        Raises:
            Refused: with the numbers, what to check, and how to overrule it.
        """
        if self.is_refused:
            raise Refused("\n".join(self.objections))

    def refuse_other_number(self, *, is_for_good: bool) -> None:
        """Stops where the plan takes another number of files than was said, or one that had to be said and was not.

        Args:
            is_for_good: nothing could be brought back from a trash.

        Raises:
            Refused: with the number that it is now.
        """
        said, n_files = self.wish.expected_files, self.files.height
        is_needed = must_be_counted(self.operation, is_forced=self.is_forced, is_for_good=is_for_good)
        if said == n_files or (said is None and not is_needed):
            return
        expected = "is not given, which this needs: it deletes for good" if said is None else f"is {said}"
        raise Refused(
            f"this {self.operation.value} takes {counted(n_files, 'file')} now, and expected_files {expected}; nothing "
            f"was changed. Look at a dry run of it; if that is what you want, repeat with expected_files: {n_files}"
        )

    def document(self) -> dict[str, Any]:
        """What a command prints of it as JSON when it is not carried out."""
        return {
            "run_id": None,
            "planned": self.files.height,
            "removed": 0,
            "kept": 0,
            "n_bytes": self.n_bytes,
            "trash": None,
        }

    def summary(self) -> pl.DataFrame:
        """Files and bytes by timelapse and kind: timelapse, kind, n_files, n_bytes."""
        return (
            self.files.group_by("timelapse", "kind")
            .agg(n_files=pl.len().cast(pl.Int64), n_bytes=pl.col("n_bytes").sum())
            .sort("timelapse", "kind")
        )


def objections_to(shrunken: Sequence[Shrinkage]) -> list[str]:
    """What stands against removing anything on the word of listings that lost sources."""
    return [complaint_about(shrunken, FORCE)] if shrunken else []
