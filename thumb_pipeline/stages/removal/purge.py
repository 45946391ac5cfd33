"""Plans the removal of every variant of some timelapses, with their records.

A file counts as a variant when a source or a record expects it at its place, or when its name says so. A purge leaves
everything else in a variant folder alone. The plan is carried out by `carry_out`.
"""

from collections.abc import Sequence

import polars as pl

from thumb_pipeline.analytics.expected import folder_of, variant_path
from thumb_pipeline.analytics.orphans import TOLD, told_by_name
from thumb_pipeline.datasets.schemas import FILE_KEY, MANIFEST, SOURCE_KEY
from thumb_pipeline.domain.layout import RESERVED_FOLDERS
from thumb_pipeline.domain.removals import Operation
from thumb_pipeline.stages.inventory.listing import SourceListing, list_variants
from thumb_pipeline.stages.inventory.selection import (
    Selection,
    batches,
    find_timelapses,
    refuse_absent_variants,
    refuse_unknown,
)
from thumb_pipeline.stages.inventory.survey import Shrinkage, survey
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.planning.orphans import ORPHANS
from thumb_pipeline.stages.removal.planned import Removal, RemovalWish, objections_to

PURGED = "purged"
"""The kind of every file of a purge."""

_CLAIM = [*FILE_KEY, "variant", "source_name"]


def plan_purge(library: Library, wish: RemovalWish) -> Removal:
    """Plans which files and records a purge of the chosen timelapses and variants would remove.

    Raises:
        Refused: a timelapse or variant is unknown, or the disk of the variants is not there.
        ArchiveUnavailable: a folder cannot be listed.
    """
    keys = find_timelapses(library, wish.timelapses)
    chosen = _choose_variants(library, keys, wish.variants)
    files, records = [pl.DataFrame(schema=ORPHANS)], [MANIFEST.empty()]
    shrunken: list[Shrinkage] = []
    n_sources = dict.fromkeys(keys, 0)
    for listings in batches(library, keys, None):
        recorded = library.manifest.read([listing.key for listing in listings], where=pl.col("variant").is_in(chosen))
        refuse_absent_variants(library, Selection(), recorded.height)
        found = survey(library, listings)
        shrunken += found.shrunken
        n_sources |= {str(key): int(n) for key, n in found.sources.group_by("timelapse").len().iter_rows()}
        files.append(_list_variant_files(library, listings, found.sources, recorded, chosen))
        records.append(recorded)
    return Removal(
        operation=Operation.PURGE,
        wish=wish,
        keys=keys,
        files=pl.concat(files),
        records=pl.concat(records),
        n_sources=n_sources,
        objections=objections_to(shrunken),
    )


def _choose_variants(library: Library, keys: Sequence[str], wished: Sequence[str]) -> list[str]:
    """The wished variants; without a wish, all that the settings name or that records still hold."""
    recorded = library.manifest.query(keys, lambda rows: rows.select("variant").unique())
    known = list(dict.fromkeys((*library.settings.specs, *sorted(recorded["variant"]))))
    for name in wished:
        refuse_unknown("variant", name, known)
    return list(dict.fromkeys(wished)) or known


def _list_variant_files(
    library: Library,
    listings: Sequence[SourceListing],
    sources: pl.DataFrame,
    recorded: pl.DataFrame,
    chosen: Sequence[str],
) -> pl.DataFrame:
    """Files in variant folders that are chosen variants (`ORPHANS` columns), each with the evidence for it."""
    specs = [spec for name, spec in library.settings.specs.items() if name in chosen]
    claims = [recorded.select(_CLAIM).with_columns(evidence=pl.lit("record"))]
    for spec in specs:
        expected = sources.select(*SOURCE_KEY, variant_path=variant_path(spec), variant=pl.lit(spec.name))
        claims.append(expected.select(_CLAIM).with_columns(evidence=pl.lit("expected")))
    folders = {*(spec.folder for spec in specs), *recorded.select(folder_of())["folder"].drop_nulls()}
    ours = sorted(name for name in folders if name.casefold() not in RESERVED_FOLDERS)
    keys = [listing.key for listing in listings]
    present = [pl.DataFrame(schema={name: ORPHANS[name] for name in (*FILE_KEY, "n_bytes", "mtime_ns")})]
    present += [list_variants(library, keys, name).files for name in ours]
    files = pl.concat(present).join(_places_of_others(library, sources, chosen), on=FILE_KEY, how="anti")
    claimed = files.join(pl.concat(claims).unique(FILE_KEY, keep="first"), on=FILE_KEY, how="left")
    known = claimed.filter(pl.col("variant").is_not_null())
    named = _matched_by_name(library, claimed.filter(pl.col("variant").is_null()).select(files.columns), chosen)
    return (
        pl.concat([known, named.select(known.columns)])
        .with_columns(kind=pl.lit(PURGED))
        .select(list(ORPHANS))
        .sort(FILE_KEY)
    )


def _places_of_others(library: Library, sources: pl.DataFrame, chosen: Sequence[str]) -> pl.DataFrame:
    """The places where variants that were not chosen are expected.

    Variant names may have been swapped since the records were written.
    """
    others = [spec for name, spec in library.settings.specs.items() if name not in chosen]
    places = [sources.select("timelapse", variant_path=variant_path(spec)) for spec in others]
    return pl.concat([pl.DataFrame(schema=dict.fromkeys(FILE_KEY, pl.String)), *places])


def _matched_by_name(library: Library, files: pl.DataFrame, chosen: Sequence[str]) -> pl.DataFrame:
    """Files whose name says that they are one of the chosen variants; their source is gone or was never known."""
    specs = tuple(library.settings.specs.values())
    hints = pl.DataFrame([told_by_name(path, specs) for path in files["variant_path"]], schema=TOLD)
    named = pl.concat([files, hints], how="horizontal").filter(pl.col("variant").is_in(list(chosen)))
    return named.with_columns(evidence=pl.lit("name"))
