"""Plans which variants to make: lists sources, compares expected with recorded and actual, examines doubtful files.

A plan is a value; nothing is written here. `rendering.chunk` carries it out, `rendering.accept_plan` records what it
found to be right.
"""

from dataclasses import dataclass

import polars as pl

from thumb_pipeline.datasets.schemas import PLAN, SOURCE_KEY
from thumb_pipeline.domain.plans import Reason, State
from thumb_pipeline.domain.variants import VariantSpec
from thumb_pipeline.stages.examining.adopt import examine
from thumb_pipeline.stages.examining.damage import reconsider_damaged
from thumb_pipeline.stages.inventory.listing import SourceListing
from thumb_pipeline.stages.inventory.selection import (
    Selection,
    batches,
    choose_timelapses,
    refuse_absent_variants,
    refuse_shrunken,
)
from thumb_pipeline.stages.inventory.survey import Survey, survey
from thumb_pipeline.stages.library.library import Lease, Library
from thumb_pipeline.stages.library.progress import Progress
from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline.stages.planning.compare_variant import Comparison, Cost, Look, compare
from thumb_pipeline.stages.planning.policy import find_expected_paths

_DEFAULT_VARIANT_MS = 30.0
DEFAULT_VARIANT_BYTES = 20_000.0
"""The expected size of a variant where none is recorded yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPart:
    """The plan of some timelapses: what was found there and what to make.

    Attributes:
        survey: the listing it rests on.
        rows: variants to make (`PLAN` columns, no chunks yet).
        adopted: manifest rows for variants that are right and unrecorded.
        tally: timelapse, variant, state, is_present, n: how many expected variants are in which state.
        failed: timelapse and source_name of remembered refusals that stand.
        temporaries: unfinished files in variant folders, by folder.
        cost: what recorded variants took, for predictions.
    """

    survey: Survey
    rows: pl.DataFrame
    adopted: pl.DataFrame
    tally: pl.DataFrame
    failed: pl.DataFrame
    temporaries: dict[str, list[bytes]]
    cost: Cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A plan in parts; `unmatched` are the folders below `cameras/` that belong to no timelapse."""

    parts: list[PlanPart]
    unmatched: list[str]

    @property
    def rows(self) -> pl.DataFrame:
        """All variants to make."""
        return pl.concat([part.rows for part in self.parts]) if self.parts else PLAN.empty()

    @property
    def n_sources(self) -> int:
        """How many sources were looked at."""
        return sum(part.survey.sources.height for part in self.parts)

    @property
    def n_pending(self) -> int:
        """How many of them are still being written."""
        return sum(part.survey.sources.filter(pl.col("state") == "pending").height for part in self.parts)

    @property
    def n_failed(self) -> int:
        """How many of them are refused and stay so until something changes."""
        return sum(part.failed.height for part in self.parts)

    @property
    def n_adopted(self) -> int:
        """How many variants are right and were not recorded."""
        return sum(part.adopted.height for part in self.parts)

    @property
    def n_valid(self) -> int:
        """How many variants are right and recorded."""
        return sum(int(part.tally.filter(pl.col("state") == State.VALID.value)["n"].sum()) for part in self.parts)

    @property
    def ms_per_variant(self) -> float:
        """How long a recorded variant took, in the mean; a default where none is recorded."""
        cost = sum((part.cost for part in self.parts), Cost())
        return cost.ms / cost.n if cost.ms else _DEFAULT_VARIANT_MS

    @property
    def bytes_per_variant(self) -> float:
        """How large a recorded variant is, in the mean; a default where none is recorded."""
        cost = sum((part.cost for part in self.parts), Cost())
        return cost.n_bytes / cost.n if cost.n_bytes else DEFAULT_VARIANT_BYTES


def make_plan(library: Library, selection: Selection, lease: Lease, *, on_progress: Progress | None = None) -> Plan:
    """Plans the selected part of a library, in batches of timelapses that bound the memory it takes.

    Raises:
        Refused: the selection names what is not there, or a listing looks like a disk that is not there.
        ArchiveUnavailable: a folder cannot be listed.
    """
    keys, unmatched = choose_timelapses(library, selection)
    only = selection.sources or None
    parts = [_plan_part(library, batch, selection, lease, on_progress) for batch in batches(library, keys, only)]
    if not selection.is_hint:
        _refuse_unknown_sources(selection, parts)
    refuse_shrunken(selection, [shrinkage for part in parts for shrinkage in part.survey.shrunken])
    refuse_absent_variants(library, selection, sum((part.cost for part in parts), Cost()).n)
    return Plan(parts=parts, unmatched=unmatched)


def _plan_part(
    library: Library, listings: list[SourceListing], selection: Selection, lease: Lease, on_progress: Progress | None
) -> PlanPart:
    only = selection.sources or None
    found = survey(library, listings, only=only, wait=not selection.is_hint)
    chosen = [
        spec for spec in library.settings.specs.values() if spec.name in selection.variants or not selection.variants
    ]
    look = Look(only=only, retry_failed=selection.retry_failed, keep_valid=selection.force)
    compared = [compare(library, found, spec, look) for spec in chosen]
    states = without_wanted(library, found, pl.concat([part.others for part in compared]))
    if selection.force:
        states = _forced(states)
    decided, adopted = examine(library, states, lease, trust_existing=selection.trust_existing, on_progress=on_progress)
    decided, adopted = reconsider_damaged(library, decided, adopted, lease)
    decided = _retried_with_others(decided)
    return PlanPart(
        survey=found,
        rows=_rows_to_make(decided),
        adopted=adopted,
        tally=_tally(decided, compared, chosen),
        failed=decided.filter(pl.col("state") == State.FAILED.value).select(*SOURCE_KEY).unique(),
        temporaries={folder: names for part in compared for folder, names in part.temporaries.items()},
        cost=sum((part.cost for part in compared), Cost()),
    )


def _tally(decided: pl.DataFrame, compared: list[Comparison], specs: list[VariantSpec]) -> pl.DataFrame:
    columns = ["timelapse", "variant", "state", "is_present", "n"]
    counted = decided.group_by(columns[:-1]).agg(n=pl.len().cast(pl.Int64)).select(columns)
    valid = [
        part.n_valid.select(
            "timelapse",
            variant=pl.lit(spec.name),
            state=pl.lit(State.VALID.value),
            is_present=pl.lit(True),
            n="n",
        )
        for part, spec in zip(compared, specs, strict=True)
    ]
    return pl.concat([counted, *valid])


def without_wanted(library: Library, found: Survey, states: pl.DataFrame) -> pl.DataFrame:
    """Drops superseded paths at which another variant is expected (names or folders were swapped).

    A stale variant that has no other file counts as missing.
    """
    moved = states.filter(pl.col("superseded_path").is_not_null())
    if moved.is_empty():
        return states
    keys = moved["timelapse"].unique().to_list()
    sources = found.sources.filter(pl.col("timelapse").is_in(keys))
    wanted = find_expected_paths(library, sources, keys).select(
        "timelapse", superseded_path="variant_path", is_wanted=pl.lit(True)
    )
    is_stale = pl.col("state").is_in([Reason.STALE_SOURCE.value, Reason.STALE_SPEC.value])
    has_none = pl.col("is_wanted").is_not_null() & is_stale & ~pl.col("is_present")
    return (
        states.join(wanted, on=["timelapse", "superseded_path"], how="left")
        .with_columns(
            superseded_path=pl.when(pl.col("is_wanted").is_null()).then("superseded_path"),
            state=pl.when(has_none).then(pl.lit(Reason.MISSING.value)).otherwise("state"),
        )
        .drop("is_wanted")
    )


def _forced(states: pl.DataFrame) -> pl.DataFrame:
    forced = pl.when(pl.col("state") != State.PENDING.value).then(pl.lit(Reason.FORCED.value))
    return states.with_columns(state=forced.otherwise("state"), known_digest=pl.lit(None, pl.String))


def _retried_with_others(decided: pl.DataFrame) -> pl.DataFrame:
    """Retries the refused variants of sources that are rendered anyway, so that a source fails or not as a whole."""
    is_refused = pl.col("state") == State.FAILED.value
    if decided.filter(is_refused).is_empty():
        return decided
    opened = _rows_to_make(decided).select(*SOURCE_KEY, is_opened=pl.lit(True)).unique()
    retried = pl.when(is_refused & pl.col("is_opened")).then(pl.lit(Reason.RETRY.value)).otherwise("state")
    joined = decided.join(opened, on=SOURCE_KEY, how="left", maintain_order="left")
    return joined.with_columns(state=retried).drop("is_opened")


def _rows_to_make(decided: pl.DataFrame) -> pl.DataFrame:
    reasons = [reason.value for reason in Reason]
    return (
        decided.filter(pl.col("state").is_in(reasons))
        .rename({"state": "reason", "n_bytes": "source_n_bytes", "mtime_ns": "source_mtime_ns"})
        .with_columns(chunk=pl.lit(None, pl.Int32))
        .select(list(PLAN.columns))
    )


def _refuse_unknown_sources(selection: Selection, parts: list[PlanPart]) -> None:
    seen = {name for part in parts for name in part.survey.sources["source_name"]}
    seen |= {name for part in parts for name in part.survey.vanished["source_name"]}
    for name in selection.sources:
        if name not in seen:
            raise Refused(f'no source "{name}" in the selected timelapses; name the file as it lies in frames/')
