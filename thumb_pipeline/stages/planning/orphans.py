"""Finds the files in variant folders that nothing expects, and says why.

A variant folder is one that the settings name, or that a record of this timelapse names; never `frames/`, `overlays/`,
`videos/` or any other folder. `sweep` removes the files, `repair` puts them to use again.
"""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from thumb_pipeline.analytics.expected import folder_of
from thumb_pipeline.analytics.orphans import explained
from thumb_pipeline.datasets.schemas import FILE_KEY
from thumb_pipeline.domain import names
from thumb_pipeline.domain.findings import OrphanKind
from thumb_pipeline.domain.layout import RESERVED_FOLDERS
from thumb_pipeline.domain.paths import inside
from thumb_pipeline.domain.plans import RecordState
from thumb_pipeline.domain.settings import for_timelapse
from thumb_pipeline.stages.inventory.listing import list_variants
from thumb_pipeline.stages.inventory.survey import Survey
from thumb_pipeline.stages.library import clean_up
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.planning.compare_variant import Comparison, folder_usage
from thumb_pipeline.storage.folders import mtime_ns

ORPHANS = {
    "timelapse": pl.String,
    "variant_path": pl.String,
    "n_bytes": pl.Int64,
    "mtime_ns": pl.Int64,
    "variant": pl.String,  # empty where it is unknown, as is the next
    "source_name": pl.String,
    "evidence": pl.String,  # what variant and source rest on: record, name, none
    "kind": pl.String,  # domain.findings.OrphanKind
}
"""The columns of a table of orphans."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphans:
    """Unexpected files of some timelapses.

    Attributes:
        files: one row each (`ORPHANS` columns).
        listed: timelapse, folder, n_files, n_bytes of every variant folder, expected files included.
    """

    files: pl.DataFrame
    listed: pl.DataFrame


def find_orphans(library: Library, found: Survey, compared: Sequence[Comparison]) -> Orphans:
    """Finds the files that no comparison claimed, the files of retired variants, and abandoned temporary files.

    Raises:
        ArchiveUnavailable: a folder cannot be listed.
        Refused: a variant folder is a link.
    """
    listed = pl.concat([part.listed for part in compared]).unique(["timelapse", "folder"])
    retired = _retired_folders(library, found.keys, listed)
    others = [list_variants(library, mine, folder) for folder, mine in retired.items()]
    unclaimed = pl.concat([_claimed_by_none(compared), *(listing.files for listing in others)])
    met = [*(part.temporaries for part in compared), *(listing.temporaries for listing in others)]
    temporaries = {folder: files for part in met for folder, files in part.items()}
    return Orphans(
        files=pl.concat(
            [_explain(library, found.keys, found.sources, unclaimed), _find_left_over(library, found.keys, temporaries)]
        ).sort(*FILE_KEY),
        listed=pl.concat([listed, *(folder_usage(listing.files) for listing in others)]),
    )


def _claimed_by_none(compared: Sequence[Comparison]) -> pl.DataFrame:
    """Files that no variant claimed, of all those whose comparison listed their folder."""
    on = ["timelapse", "folder"]
    listings = pl.concat([part.listed.select(on) for part in compared]).group_by(on).agg(n_listed=pl.len())
    files = pl.concat([part.unclaimed for part in compared])
    columns = files.columns
    return (
        files.with_columns(folder_of())
        .group_by(*columns, "folder")
        .agg(n_unclaimed=pl.len())
        .join(listings, on=on)
        .filter(pl.col("n_unclaimed") == pl.col("n_listed"))
        .select(columns)
    )


def _retired_folders(library: Library, keys: Sequence[str], listed: pl.DataFrame) -> dict[str, list[str]]:
    """Folders of recorded variants that are no longer asked for, with the timelapses that recorded them there."""
    by_variants: dict[tuple[str, ...], list[str]] = {}
    for key in keys:
        by_variants.setdefault(tuple(spec.name for spec in for_timelapse(library.settings, key).specs), []).append(key)
    parts = [_folders_of_others(library, mine, names) for names, mine in by_variants.items()]
    in_use = [spec.folder for spec in library.settings.specs.values()]
    recorded = pl.concat(parts).drop_nulls().filter(~pl.col("folder").is_in(in_use))
    retired: dict[str, list[str]] = {}
    for key, name in recorded.join(listed, on=["timelapse", "folder"], how="anti").sort(pl.all()).iter_rows():
        if name.casefold() not in RESERVED_FOLDERS:
            retired.setdefault(name, []).append(key)
    return retired


def _folders_of_others(library: Library, keys: list[str], names: tuple[str, ...]) -> pl.DataFrame:
    """timelapse, folder of the records of all but the named variants."""
    others = ~pl.col("variant").is_in(names)
    return library.manifest.query(keys, lambda rows: rows.filter(others).select("timelapse", folder_of()).unique())


def _explain(library: Library, keys: Sequence[str], sources: pl.DataFrame, files: pl.DataFrame) -> pl.DataFrame:
    if files.is_empty():
        return pl.DataFrame(schema=ORPHANS)
    paths = files["variant_path"].implode()
    columns = ("timelapse", "variant_path", "variant", "source_name")
    is_among = (pl.col("state") == RecordState.MADE) & pl.col("variant_path").is_in(paths)
    recorded = library.manifest.query(keys, lambda rows: rows.filter(is_among).select(columns))
    return explained(files, recorded, sources, tuple(library.settings.specs.values())).select(list(ORPHANS))


def _find_left_over(library: Library, keys: Sequence[str], temporaries: dict[str, list[bytes]]) -> pl.DataFrame:
    """Unfinished files whose writers were killed or are unknown; those of running writers are left alone."""
    owners = {library.variants(key): key for key in keys}
    rows = []
    for folder, found in temporaries.items():
        key = owners[os.path.dirname(folder)]
        kinds = dict.fromkeys(clean_up.find_abandoned_files(library, found), OrphanKind.TEMPORARY)
        kinds |= dict.fromkeys(clean_up.find_foreign_files(library, found), OrphanKind.FOREIGN_TEMPORARY)
        for name, kind in kinds.items():
            try:
                status = os.lstat(inside(os.fsencode(folder), name))
            except FileNotFoundError:
                continue  # cleaned up meanwhile
            if not stat.S_ISREG(status.st_mode):
                continue  # not ours: we only make regular files
            path = f"{os.path.basename(folder)}/{names.to_text(name)}"
            rows.append((key, path, status.st_size, mtime_ns(status), "", "", "name", kind.value))
    return pl.DataFrame(rows, schema=ORPHANS, orient="row")
