"""A planned removal: which files are to go and why, the records that go with them, and the brakes' objections.

A removal is a value. `sweep` and `purge` decide what it contains, `journal` writes it down, `carry_out` carries it out.
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
        variants: names; only for a purge.
        force: overrule the brakes.
        use_trash: move into the trash; without it files are unlinked for good.
        by_policy: for a sweep, also remove variants of existing sources that no policy asks for any more.
        expected_files: how many files are to go, as a plan has shown; None if the operator does not say.
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
        wish: what the operator asked for.
        keys: the timelapses that were looked at.
        files: the files to remove, one row each (`stages.planning.orphans.ORPHANS` columns).
        records: manifest rows to drop if no file is left for them.
        n_sources: sources that were listed, by timelapse.
        n_listed: files in the variant folders, by timelapse; only for a sweep.
        n_by_policy: files that a sweep leaves because nothing but a policy makes them superfluous; 0 with `by_policy`.
        n_foreign: files that a sweep leaves because another program may still be writing them: no process known to
            this library wrote them.
        objections: what the brakes object to, in sentences; empty if nothing.
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
        """Whether the operator asked to overrule the brakes."""
        return self.wish.force

    @property
    def is_refused(self) -> bool:
        """Whether a brake objects and was not overruled."""
        return bool(self.objections) and not self.is_forced

    def refuse_objections(self) -> None:
        """Stops if a brake objects and was not overruled.

        Raises:
            Refused: with the numbers, what to check, and how to overrule it.
        """
        if self.is_refused:
            raise Refused("\n".join(self.objections))

    def refuse_other_number(self, *, is_for_good: bool) -> None:
        """Stops if the plan takes another number of files than `expected_files`, or if that is needed and not given.

        Args:
            is_for_good: nothing could be brought back from a trash.

        Raises:
            Refused: with the present number of files.
        """
        expected_files, n_files = self.wish.expected_files, self.files.height
        is_needed = must_be_counted(self.operation, is_forced=self.is_forced, is_for_good=is_for_good)
        if expected_files == n_files or (expected_files is None and not is_needed):
            return
        given = "is not given, but is required to delete for good" if expected_files is None else f"is {expected_files}"
        raise Refused(
            f"this {self.operation.value} takes {counted(n_files, 'file')} now, and expected_files {given}; nothing "
            f"was changed. Look at a dry run of it; if that is what you want, repeat with expected_files: {n_files}"
        )

    def document(self) -> dict[str, Any]:
        """The JSON that a command prints when the plan is not carried out."""
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
    """The objections to a removal that is based on listings which lost many sources."""
    return [complaint_about(shrunken, FORCE)] if shrunken else []
