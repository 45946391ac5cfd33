"""Plans the removal of files that nothing expects, from fresh listings, and lists again before the files are removed.

The comparison is that of `verify`, but no file is opened, as the content of a variant file never makes it an orphan.
The plan is carried out by `carry_out`.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from thumb_pipeline.datasets.schemas import MANIFEST, SOURCE_KEY, VARIANT_KEY
from thumb_pipeline.domain.clocks import TROUBLED_S
from thumb_pipeline.domain.findings import OrphanKind
from thumb_pipeline.domain.paths import inside
from thumb_pipeline.domain.plans import RecordState
from thumb_pipeline.domain.quantities import counted
from thumb_pipeline.domain.removals import Operation, Share
from thumb_pipeline.domain.settings import for_timelapse
from thumb_pipeline.stages.inventory.listing import SourceListing, discover, list_sources
from thumb_pipeline.stages.inventory.selection import Selection, batches, find_timelapses
from thumb_pipeline.stages.inventory.survey import Shrinkage, Survey, accept, survey
from thumb_pipeline.stages.library import clock
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.planning.compare_variant import compare_whole
from thumb_pipeline.stages.planning.orphans import ORPHANS, Orphans, find_orphans
from thumb_pipeline.stages.planning.policy import find_expected_paths
from thumb_pipeline.stages.removal.planned import FORCE, Removal, RemovalWish, objections_to
from thumb_pipeline.storage.folders import ArchiveUnavailable, count_files


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The present state of some timelapses.

    Attributes:
        survey: the listing of their sources.
        orphans: the files that nothing expects.
        unexpected: manifest rows of sources that are gone, and of variants that nothing asks for.
    """

    survey: Survey
    orphans: Orphans
    unexpected: pl.DataFrame


def plan_sweep(library: Library, wish: RemovalWish) -> Removal:
    """Plans what a sweep of the chosen timelapses would remove.

    Raises:
        Refused: a timelapse is unknown, or the disk of the variants is not there.
        ArchiveUnavailable: a folder cannot be listed; `force` does not overrule that, as there is nothing to plan from.
    """
    keys = find_timelapses(library, wish.timelapses)
    files, records = [pl.DataFrame(schema=ORPHANS)], [MANIFEST.empty()]
    shrunken: list[Shrinkage] = []
    n_by_policy = n_foreign = 0
    n_sources, n_listed = dict.fromkeys(keys, 0), dict.fromkeys(keys, 0)
    for listings in batches(library, keys, None):
        seen = look(library, listings)
        found_here = seen.orphans.files
        files.append(found_here.filter(pl.col("kind") != OrphanKind.FOREIGN_TEMPORARY.value))
        n_foreign += found_here.height - files[-1].height
        records.append(seen.unexpected)
        if not wish.by_policy:
            n_before = files[-1].height
            files[-1], records[-1] = _without_policy(library, seen, files[-1])
            n_by_policy += n_before - files[-1].height
        shrunken += seen.survey.shrunken
        n_sources |= _by_timelapse(seen.survey.sources, pl.len())
        n_listed |= _by_timelapse(seen.orphans.listed, pl.col("n_files").sum())
    found = pl.concat(files)
    return Removal(
        operation=Operation.SWEEP,
        wish=wish,
        keys=keys,
        files=found,
        records=pl.concat(records),
        n_sources=n_sources,
        n_listed=n_listed,
        n_by_policy=n_by_policy,
        n_foreign=n_foreign,
        objections=[
            *objections_to(shrunken),
            *_objections_to_size(library, found, n_listed),
            *_objections_to_ages(library, found),
        ],
    )


def look(library: Library, listings: list[SourceListing]) -> Look:
    """Compares fresh listings of sources with fresh listings of variant folders.

    Raises:
        Refused: the disk of the variants is not there, or a variant folder is a link.
        ArchiveUnavailable: a folder cannot be listed.
    """
    found = survey(library, listings)
    compared = compare_whole(library, found, Selection(), keep_valid=False)
    return Look(
        survey=found,
        orphans=find_orphans(library, found, compared),
        unexpected=_read_unexpected_records(library, found),
    )


def look_again(library: Library, key: str, n_planned_sources: int) -> Look:
    """Compares one timelapse again, right before its files are removed.

    Raises:
        ArchiveUnavailable: a folder cannot be listed, or lost more sources since the plan than is believable.
        Refused: as `look`.
    """
    seen = look(library, [list_sources(library, key)])
    refuse_collapsed(library, key, n_planned_sources, seen.survey.sources.height)
    return seen


def accept_untouched(library: Library, keys: Sequence[str], n_planned_sources: dict[str, int]) -> None:
    """Accepts fresh listings of the timelapses that have no file to remove as their inventory.

    Raises:
        ArchiveUnavailable: a folder cannot be listed, or lost more sources since the plan than is believable.
    """
    for listings in batches(library, keys, None):
        found = survey(library, listings)
        n_found = _by_timelapse(found.sources, pl.len())
        for key in found.keys:
            refuse_collapsed(library, key, n_planned_sources.get(key, 0), n_found.get(key, 0))
        accept(library, found)


def refuse_collapsed(library: Library, key: str, n_planned: int, n_found: int) -> None:
    """Stops at a timelapse whose sources vanished between the plan and its execution, as when a disk goes away.

    Raises:
        ArchiveUnavailable: with the numbers.
    """
    brakes, n_lost = library.settings.brakes, n_planned - n_found
    is_believable = n_lost < brakes.min_shrink_sources or n_lost <= brakes.max_shrink_ratio * n_planned
    if n_lost > 0 and (n_found == 0 or not is_believable):
        raise ArchiveUnavailable(f"{key}: {n_planned} sources when it was planned, {n_found} now; check the disk")


def is_source_there(library: Library, key: str, source_text: bytes) -> bool:
    """Whether the source that a file would belong to is in `frames/` at this moment; if in doubt, True."""
    try:
        os.lstat(inside(os.fsencode(library.frames(key)), source_text))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _read_unexpected_records(library: Library, found: Survey) -> pl.DataFrame:
    """Manifest rows of variants that nothing asks for.

    The refusal of a source stays as long as the source does, because policies depend on refusals.
    """
    expected = find_expected_paths(library, found.sources, found.keys).lazy().select(VARIANT_KEY)
    listed = found.sources.lazy().select(*SOURCE_KEY, is_listed=pl.lit(True))
    is_made = pl.col("state") == RecordState.MADE
    is_retired = pl.col("is_listed").is_null() | ~pl.col("variant").is_in(list(library.settings.specs))
    columns = list(MANIFEST.columns)
    return library.manifest.query(
        found.keys,
        lambda rows: (
            rows.select(columns)
            .join(expected, on=VARIANT_KEY, how="anti")
            .join(listed, on=SOURCE_KEY, how="left")
            .filter(is_made | is_retired)
            .select(columns)
        ),
    )


def _without_policy(library: Library, seen: Look, files: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Files and records without those that only a policy made superfluous.

    Their sources exist, and a policy that is changed back asks for them again.
    """
    files = files.filter(pl.col("kind") != OrphanKind.POLICY.value)
    is_known = pl.col("variant").is_in(list(library.settings.specs))
    listed = seen.survey.sources.select(*SOURCE_KEY)
    wanted_no_more = seen.unexpected.filter(is_known).join(listed, on=SOURCE_KEY, how="semi")
    return files, seen.unexpected.join(wanted_no_more, on=VARIANT_KEY, how="anti")


def _objections_to_size(library: Library, files: pl.DataFrame, n_listed: dict[str, int]) -> list[str]:
    """Objections to removing more than is believable.

    Unfinished files count neither as removed nor as variants. Nor do files that a policy made superfluous: the policy
    determines how many there are, and the operator confirmed them with a separate option.
    """
    brakes = library.settings.brakes
    uncounted = [OrphanKind.TEMPORARY.value, OrphanKind.POLICY.value]
    taken = _by_timelapse(files.filter(~pl.col("kind").is_in(uncounted)), pl.len())
    shares = [
        Share(place=key, n_taken=n, n_files=n_listed.get(key, 0), max_ratio=brakes.max_sweep_ratio_timelapse)
        for key, n in sorted(taken.items())
    ]
    if (n_taken := sum(taken.values())) >= brakes.min_sweep_variants:
        n_files = sum(n_listed.values()) + _count_files_elsewhere(library, set(n_listed))
        ratio = brakes.max_sweep_ratio_library
        shares.append(Share(place="the library", n_taken=n_taken, n_files=n_files, max_ratio=ratio))
    lines = [f"  {share}" for share in shares if share.is_excessive(brakes.min_sweep_variants)]
    if not lines:
        return []
    shown = [*lines[:20], *([f"  … and {len(lines) - 20} more"] if len(lines) > 20 else [])]
    remedy = (
        "check that the disk is mounted and that thumbs.toml names every variant; if they are really to go, "
        f"repeat with {FORCE}"
    )
    return ["\n".join(("this sweep would take more than is believable:", *shown, remedy))]


def _objections_to_ages(library: Library, files: pl.DataFrame) -> list[str]:
    """Objections to removing files only because of the age of their captures while the clock is in doubt."""
    by_policy = files.filter(pl.col("kind") == OrphanKind.POLICY.value).group_by("timelapse", "variant").len("n")
    n_aged = sum(n for key, variant, n in by_policy.iter_rows() if _is_kept_by_age(library, key, variant))
    if not n_aged or not (ages := clock.peek(library.state)).is_troubled:
        return []
    believed_from = f"{ages.steady_since + timedelta(seconds=TROUBLED_S):%Y-%m-%d %H:%M} UTC"
    lines = (
        f"this sweep would take {counted(n_aged, 'file')} for the age of their captures, and {ages.trouble}",
        f"check the clock (date -u); if it is right, repeat with {FORCE}, or without it from {believed_from} on",
    )
    return ["\n".join(lines)]


def _is_kept_by_age(library: Library, key: str, variant: str) -> bool:
    rules = [era.rules.get(variant) for era in for_timelapse(library.settings, key).policy.eras]
    return any(rule is not None and rule.retention is not None for rule in rules)


def _count_files_elsewhere(library: Library, looked_at: set[str]) -> int:
    """Number of files in the variant folders of the other timelapses; a folder that cannot be read counts as empty."""
    discovery = discover(library)
    folders = {spec.folder for spec in library.settings.specs.values()}
    n_files = 0
    for key in {*discovery.keys, *discovery.vanished, *discovery.stray} - looked_at:
        for folder in folders:
            n_files += count_files(inside(library.variants(key), folder))
    return n_files


def _by_timelapse(rows: pl.DataFrame, number: pl.Expr) -> dict[str, int]:
    return {str(key): int(n) for key, n in rows.group_by("timelapse").agg(n=number).iter_rows()}
