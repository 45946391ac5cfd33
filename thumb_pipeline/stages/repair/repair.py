"""Repairs a library without rendering: records what is right, brings files to their places, drops void records.

A repair starts with its own verification. `generate` makes what is missing, corrupt or stale; `sweep` removes what
stays unmatched. Nothing is deleted here but records of variants that have neither source nor file.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import polars as pl

from thumb_pipeline.datasets.rows import by_timelapse
from thumb_pipeline.datasets.schemas import FILE_KEY, MANIFEST, SOURCE_KEY, VARIANT_KEY
from thumb_pipeline.domain.findings import OrphanKind, VariantState
from thumb_pipeline.domain.plans import RecordState, State
from thumb_pipeline.stages.examining.adopt import examine
from thumb_pipeline.stages.examining.unclaimed import read_digests
from thumb_pipeline.stages.inventory.listing import look_at_variants
from thumb_pipeline.stages.inventory.selection import Selection, refuse_shrunken
from thumb_pipeline.stages.inventory.survey import Survey, accept, fill_in
from thumb_pipeline.stages.library.library import Lease, Library
from thumb_pipeline.stages.library.progress import Progress
from thumb_pipeline.stages.planning.orphans import ORPHANS
from thumb_pipeline.stages.removal import journal
from thumb_pipeline.stages.repair.match_orphans import MOVES, NO_DIGESTS, match
from thumb_pipeline.stages.repair.move_orphans import add_what_was_known, relocate
from thumb_pipeline.stages.verification.verify import VerifiedPart, verify

_FOR_GENERATE = [
    state.value
    for state in (VariantState.MISSING, VariantState.CORRUPT, VariantState.STALE_SOURCE, VariantState.STALE_SPEC)
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """The result of a repair, or what it would be.

    Attributes:
        n_orphans: number of files that nothing expected.
        moved: the files that were moved to their place (`match_orphans.MOVES` columns).
        redundant: the files (`FILE_KEY` columns) that match a source but cannot go to its place, mostly as it is taken.
        unmatched: the files that match no source (`orphans.ORPHANS` columns).
        adopted: timelapse, source_name, variant of records made for variants that were already in their place.
        dropped: timelapse, source_name, variant of records that were dropped.
        n_for_generate: number of variants that are still to be made.
    """

    n_orphans: int = 0
    moved: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=MOVES))
    redundant: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=dict.fromkeys(FILE_KEY, pl.String)))
    unmatched: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=ORPHANS))
    adopted: pl.DataFrame = field(default_factory=lambda: MANIFEST.empty().select(VARIANT_KEY))
    dropped: pl.DataFrame = field(default_factory=lambda: MANIFEST.empty().select(VARIANT_KEY))
    n_for_generate: int = 0

    @property
    def timelapses(self) -> list[str]:
        """Keys of the timelapses whose files or records changed."""
        changed = [self.moved["timelapse"], self.moved["to_timelapse"], self.adopted["timelapse"]]
        return sorted(set().union(*changed, self.dropped["timelapse"]))

    def document(self) -> dict[str, int]:
        """The numbers that programs may rely on."""
        return {
            "orphaned_files_found": self.n_orphans,
            "files_matched": self.n_orphans - self.unmatched.height,
            "files_unmatched": self.unmatched.height,
            "files_deleted": 0,
            "records_updated": self.moved.height + self.adopted.height + self.dropped.height,
            "timelapses_affected": len(self.timelapses),
        }

    def left(self) -> dict[str, int]:
        """The numbers of moved and redundant files, and of variants left for `generate`."""
        return {
            "files_moved": self.moved.height,
            "files_redundant": self.redundant.height,
            "variants_for_generate": self.n_for_generate,
        }


@dataclass(slots=True, kw_only=True)
class _Findings:
    """What the verification found in all the timelapses, as far as repair needs it."""

    surveys: list[Survey] = field(default_factory=list)
    adoptable: list[pl.DataFrame] = field(default_factory=lambda: [MANIFEST.empty()])
    touched: list[pl.DataFrame] = field(default_factory=list)
    orphans: list[pl.DataFrame] = field(default_factory=list)
    waiting: list[pl.DataFrame] = field(default_factory=list)  # variants for generate, with their states

    def take(self, part: VerifiedPart) -> None:
        self.surveys.append(part.survey)
        self.adoptable.append(part.adoptable)
        self.touched.append(part.touched)
        # A file that only a policy made superfluous is in its place; if the policy is changed back, it is used again.
        self.orphans.append(part.orphans.files.filter(pl.col("kind") != OrphanKind.POLICY.value))
        waits = (pl.col("variant") != "") & pl.col("state").is_in(_FOR_GENERATE)
        self.waiting.append(part.findings.filter(waits).select(*VARIANT_KEY, "variant_path", "state"))

    @property
    def sources(self) -> pl.DataFrame:
        return pl.concat([survey.sources for survey in self.surveys])


def repair(
    library: Library,
    keys: Sequence[str],
    lease: Lease,
    *,
    apply: bool,
    accept_shrink: bool = False,
    on_progress: Progress | None = None,
) -> Repaired:
    """Repairs timelapses, or says what that would do; files are matched with the sources of all these timelapses.

    Args:
        library: the library.
        keys: the timelapses.
        lease: ours.
        apply: make the changes; else only report them.
        accept_shrink: believe a listing that is empty or lost many sources.
        on_progress: called with the number of files opened.

    Raises:
        Refused: a listing is not believed, the disk of the variants is not there, or a variant folder is a link.
        LockTimeout: another sweep, purge, restore or repair is at work.
        ArchiveUnavailable: a folder cannot be listed.
        CannotWrite: the disk does not accept changes; what was done is kept.
    """
    with journal.lock_removals(library) if apply else nullcontext():
        findings = _Findings()
        for part in verify(library, keys, lease, accept_shrink=accept_shrink, on_progress=on_progress):
            findings.take(part)
        selection = Selection(accept_shrink=accept_shrink)
        refuse_shrunken(selection, [lost for survey in findings.surveys for lost in survey.shrunken])
        if not findings.surveys:
            return Repaired()
        return _repair_verified(library, keys, lease, findings, apply=apply, on_progress=on_progress)


def _repair_verified(
    library: Library,
    keys: Sequence[str],
    lease: Lease,
    findings: _Findings,
    *,
    apply: bool,
    on_progress: Progress | None,
) -> Repaired:
    orphans, sources, waiting = pl.concat(findings.orphans), findings.sources, pl.concat(findings.waiting)
    read, touched = _examine_touched(library, pl.concat(findings.touched), lease, on_progress)
    adopted = pl.concat([*findings.adoptable, touched])
    missing = waiting.filter(pl.col("state") == VariantState.MISSING.value).drop("state")
    matches = match(library, orphans, sources, missing, lease, on_progress=on_progress)
    void = _find_void_records(library, keys, sources, matches.moves)
    moved, redundant = matches.moves, matches.redundant
    if apply:
        _record(library, findings.surveys, pl.concat([read, matches.digests]), adopted)
        moved = relocate(library, matches.moves)
        stayed = matches.moves.join(moved, on=FILE_KEY, how="anti").select(FILE_KEY)
        redundant = pl.concat([redundant, stayed])
        void = void.join(stayed, on=FILE_KEY, how="anti")
        _drop_records(library, void)
    done = pl.concat(
        [
            adopted.select(VARIANT_KEY),
            moved.select("source_name", "variant", timelapse="to_timelapse").select(VARIANT_KEY),
        ]
    )
    return Repaired(
        n_orphans=orphans.height,
        moved=moved,
        redundant=redundant,
        unmatched=orphans.join(pl.concat([moved.select(FILE_KEY), redundant]), on=FILE_KEY, how="anti"),
        adopted=adopted.select(VARIANT_KEY),
        dropped=void.select(VARIANT_KEY),
        n_for_generate=waiting.join(done, on=VARIANT_KEY, how="anti").height,
    )


def _examine_touched(
    library: Library, states: pl.DataFrame, lease: Lease, on_progress: Progress | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Digests of sources whose mtime changed, and manifest rows of their variants that are right after all."""
    if states.is_empty():
        return NO_DIGESTS, MANIFEST.empty()
    listed = states.select(*SOURCE_KEY, "n_bytes", "mtime_ns").unique(maintain_order=True)
    read = read_digests(library, listed, lease, on_progress=on_progress)
    same = (
        states.join(read.select(*SOURCE_KEY, source_digest="digest"), on=SOURCE_KEY)
        .filter(pl.col("source_digest") == pl.col("known_digest"))
        .with_columns(state=pl.lit(State.EXAMINE.value))
    )
    decided, rows = examine(library, same, lease, trust_existing=False, on_progress=on_progress)
    assert rows.height == decided.filter(pl.col("state") == State.ADOPTED).height
    return read, rows


def _find_void_records(
    library: Library, keys: Sequence[str], sources: pl.DataFrame, moves: pl.DataFrame
) -> pl.DataFrame:
    """Records (`VARIANT_KEY` columns and variant_path) that have neither source nor file once the moves are made."""
    there = sources.lazy().select(*SOURCE_KEY)
    gone = library.manifest.query(
        keys,
        lambda rows: rows.select(*VARIANT_KEY, "variant_path", "state").join(there, on=SOURCE_KEY, how="anti"),
    )
    made = gone.filter(pl.col("state") == RecordState.MADE)
    stands = (
        look_at_variants(library, made.select(FILE_KEY)).files.select(FILE_KEY).join(moves, on=FILE_KEY, how="anti")
    )
    refused = gone.filter(pl.col("state") != RecordState.MADE)
    return pl.concat([refused, made.join(stands, on=FILE_KEY, how="anti")]).drop("state")


def _record(library: Library, surveys: list[Survey], read: pl.DataFrame, adopted: pl.DataFrame) -> None:
    """Accepts the listings, stores what was learned from reading sources, and records variants that are in place."""
    facts = _add_known_facts(library, read)
    for survey in surveys:
        accept(library, survey)
    for key, mine in by_timelapse(facts).items():
        fill_in(library, key, mine.drop("timelapse"))
    for key, rows in by_timelapse(adopted).items():
        library.manifest.merge(key, add_what_was_known(library, rows, [key]))


def _add_known_facts(library: Library, read: pl.DataFrame) -> pl.DataFrame:
    """Adds what the inventory knows of sources with the same bytes, whatever their name and mtime were."""
    learned = ("format", "width_px", "height_px", "exif_captured_at")
    digests = read.lazy().select("digest")
    known = library.inventory.query(
        library.inventory.keys() if read.height else [],
        lambda rows: rows.select("digest", *learned).drop_nulls("digest").join(digests, on="digest", how="semi"),
    )
    return read.unique(SOURCE_KEY).join(known.unique("digest", keep="any"), on="digest", how="left")


def _drop_records(library: Library, void: pl.DataFrame) -> None:
    for key, rows in by_timelapse(void).items():
        library.manifest.merge(key, MANIFEST.empty(), removed=rows.select(VARIANT_KEY))
