"""Verifies a library: finds the one state of every variant, every orphaned file and every source that changed.

Everything is compared with a fresh listing; nothing is corrected here. `verdicts` keeps the results. `generate`,
`repair` and `sweep` act on them. Files that look right are opened by `examining.deep`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from thumb_pipeline.analytics.verification import counted, doubted, variant_state
from thumb_pipeline.datasets.schemas import CHECKED, FINDINGS, INSTANT, VARIANT_KEY, VERDICTS, VERIFIED
from thumb_pipeline.domain.findings import SourceFinding, VariantState
from thumb_pipeline.domain.plans import RecordState, State
from thumb_pipeline.stages.examining import damage
from thumb_pipeline.stages.examining.adopt import examine
from thumb_pipeline.stages.examining.deep import Proven
from thumb_pipeline.stages.inventory.listing import SourceListing
from thumb_pipeline.stages.inventory.selection import Selection, batches
from thumb_pipeline.stages.inventory.survey import Survey, survey
from thumb_pipeline.stages.library.library import Lease, Library
from thumb_pipeline.stages.library.progress import Progress
from thumb_pipeline.stages.planning.compare_variant import Comparison, compare_whole
from thumb_pipeline.stages.planning.orphans import Orphans, find_orphans
from thumb_pipeline.stages.planning.plan import without_wanted
from thumb_pipeline.stages.verification.choose_files import checked_sources, opened, to_open

_STATES = [state.value for state in VariantState]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedPart:
    """The result for some timelapses.

    Attributes:
        survey: the listing of sources that the result is based on.
        verdicts: counts by timelapse and variant (`VERDICTS` columns).
        timelapses: one row each (`VERIFIED` columns).
        findings: one row for each variant, file and source that is not right (`FINDINGS` columns), pending ones too.
        orphans: the files that nothing expects.
        adoptable: manifest rows (`MANIFEST` columns) for the unrecorded variants.
        proven: the result of opening files that look right: all of them in deep mode, else those damaged before.
        outdated: timelapse, source_name, variant of earlier damage that no longer holds.
        checked: `CHECKED` rows of the sources that were opened with their variants.
        touched: stale variants (rows of `analytics.states.variant_states`) whose sources may have changed in their
            mtime alone; if a source's bytes still have `known_digest`, its variant is right.
    """

    survey: Survey
    verdicts: pl.DataFrame
    timelapses: pl.DataFrame
    findings: pl.DataFrame
    orphans: Orphans
    adoptable: pl.DataFrame
    proven: Proven
    outdated: pl.DataFrame
    checked: pl.DataFrame
    touched: pl.DataFrame


def verify(
    library: Library,
    keys: Sequence[str],
    lease: Lease,
    *,
    deep: bool = False,
    accept_shrink: bool = False,
    on_progress: Progress | None = None,
) -> Iterator[VerifiedPart]:
    """Verifies timelapses, in batches that bound memory use.

    Files are opened when their record and the listing disagree, and when they were found wrong before. All others are
    judged by name, size and mtime.

    Args:
        library: the library.
        keys: the timelapses.
        lease: ours.
        deep: whether every variant is decoded to its end and every source read.
        accept_shrink: believe it if all variants are gone.
        on_progress: called with the number of files opened.

    Raises:
        Refused: the disk of the variants is not there, or a variant folder is a link.
        ArchiveUnavailable: a folder cannot be listed, or the library is gone.
    """
    for listings in batches(library, keys, None):
        selection = Selection(accept_shrink=accept_shrink)
        part = _verify_batch(library, listings, lease, on_progress, selection, deep=deep)
        library.refuse_if_gone()  # when a disk goes away, its folders are listed as empty
        yield part


def _verify_batch(
    library: Library,
    listings: list[SourceListing],
    lease: Lease,
    on_progress: Progress | None,
    selection: Selection,
    *,
    deep: bool,
) -> VerifiedPart:
    found = survey(library, listings)
    compared = compare_whole(library, found, selection, keep_valid=deep)
    states = without_wanted(library, found, pl.concat([part.others for part in compared])).with_columns(doubted())
    decided, adoptable = examine(library, states, lease, trust_existing=False, on_progress=on_progress)
    orphans = find_orphans(library, found, compared)
    sources, vouched = to_open(library, found, decided, deep=deep)
    proven = opened(library, lease, sources, vouched, adoptable, on_progress)
    outdated = damage.find_outdated(library, found.sources, decided, proven.wrong)
    decided = proven.applied(decided).with_columns(state=variant_state(State.ADOPTED))
    now = datetime.now(UTC)
    return VerifiedPart(
        survey=found,
        verdicts=_verdicts(library, decided, compared, orphans),
        timelapses=_timelapses(found, orphans, proven.wrong, now, deep=deep),
        findings=_findings(library, found, decided, orphans, proven.wrong, now),
        orphans=orphans,
        adoptable=adoptable.join(proven.wrong, on=VARIANT_KEY, how="anti"),
        proven=proven,
        outdated=outdated,
        checked=checked_sources(sources, proven, now) if deep else CHECKED.empty(),
        touched=decided.filter(
            (pl.col("state") == VariantState.STALE_SOURCE.value) & pl.col("known_digest").is_not_null()
        ),
    )


def _verdicts(library: Library, decided: pl.DataFrame, compared: list[Comparison], orphans: Orphans) -> pl.DataFrame:
    names = list(library.settings.specs)
    on = ["timelapse", "variant"]
    present = pl.concat(
        [part.presence.with_columns(variant=pl.lit(n)) for n, part in zip(names, compared, strict=True)]
    )
    valid = pl.concat([part.n_valid.with_columns(variant=pl.lit(n)) for n, part in zip(names, compared, strict=True)])
    stray = orphans.files.group_by(on).agg(n_orphans=pl.len().cast(pl.Int64))
    return (
        present.join(stray, on=on, how="full", coalesce=True)
        .join(valid.rename({"n": "n_valid"}), on=on, how="left")
        .join(counted(decided.lazy()).collect(), on=on, how="left")
        .with_columns(pl.col("n_orphans", "n_valid", "required", "recorded", "found", *_STATES).fill_null(0))
        .with_columns(orphan="n_orphans", valid=pl.col("valid") + pl.col("n_valid"))
        .select(pl.col(name).cast(kind) for name, kind in VERDICTS.columns.items())
        .sort(on)
    )


def _timelapses(found: Survey, orphans: Orphans, wrong: pl.DataFrame, now: datetime, *, deep: bool) -> pl.DataFrame:
    def count(rows: pl.DataFrame, name: str) -> pl.DataFrame:
        return rows.group_by("timelapse").agg(pl.len().cast(pl.Int64).alias(name))

    held = orphans.listed.group_by("timelapse").agg(pl.col("n_files", "n_bytes").sum())
    rows = pl.DataFrame({"timelapse": found.keys}, schema={"timelapse": pl.String})
    for counts in (
        count(found.sources, "sources"),
        count(found.vanished, "vanished"),
        count(found.replaced, "replaced"),
        count(wrong.filter(pl.col("state") == SourceFinding.BIT_ROT.value), "bit_rot"),
        count(wrong.filter(pl.col("state") == SourceFinding.UNREADABLE.value), "unreadable"),
        held,
    ):
        rows = rows.join(counts, on="timelapse", how="left")
    return rows.with_columns(verified_at=pl.lit(now, INSTANT), is_deep=pl.lit(deep)).select(
        pl.col(name).fill_null(0).cast(kind) if kind == pl.Int64 else pl.col(name)
        for name, kind in VERIFIED.columns.items()
    )


def _findings(
    library: Library, found: Survey, decided: pl.DataFrame, orphans: Orphans, damaged: pl.DataFrame, now: datetime
) -> pl.DataFrame:
    wrong = decided.filter(pl.col("state") != VariantState.VALID.value)
    refused = wrong.filter(pl.col("state") == VariantState.FAILED.value)
    details = damaged.select(*VARIANT_KEY, "n_bytes", "mtime_ns", words="detail")
    variants = (
        wrong.select(*VARIANT_KEY, "variant_path", "state")
        .join(_read_refusals(library, refused), on=VARIANT_KEY, how="left")
        .join(details, on=VARIANT_KEY, how="left")
        .with_columns(detail=pl.coalesce("detail", "words"))
        .drop("words")
    )
    rotten = damaged.filter(pl.col("variant") == "").drop("found_at")
    files = orphans.files.select(
        *("timelapse", "source_name", "variant", "variant_path", "n_bytes", "mtime_ns"),
        state=pl.lit(VariantState.ORPHAN.value),
        reason="kind",
        detail="evidence",
    )
    gone = found.vanished.with_columns(state=pl.lit(SourceFinding.VANISHED.value))
    other = found.replaced.with_columns(state=pl.lit(SourceFinding.REPLACED.value))
    rows = pl.concat([variants, files, gone, other, rotten], how="diagonal")
    return (
        pl.concat([FINDINGS.empty(), rows], how="diagonal")
        .with_columns(pl.col("source_name", "variant", "variant_path").fill_null(""), found_at=pl.lit(now, INSTANT))
        .select(list(FINDINGS.columns))
    )


def _read_refusals(library: Library, refused: pl.DataFrame) -> pl.DataFrame:
    """Why sources were refused, as recorded in the manifest."""
    keys = refused["timelapse"].unique().to_list()
    failed = pl.col("state") == RecordState.FAILED
    columns = (*VARIANT_KEY, "reason", "detail")
    return library.manifest.query(keys, lambda rows: rows.filter(failed).select(columns))
