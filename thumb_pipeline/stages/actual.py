"""Lists what really lies in the variant folders.

Sources are listed in `inventory`; what a variant file says of itself is asked in `examine`.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from thumb_pipeline.stages.inventory import listing_frame
from thumb_pipeline.stages.library import Library
from thumb_pipeline.storage.folders import list_files, look_at

_ACTUAL = {"timelapse": pl.String, "variant_path": pl.String, "n_bytes": pl.Int64, "mtime_ns": pl.Int64}


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantListing:
    """The files of variant folders.

    Attributes:
        files: timelapse, variant_path, n_bytes, mtime_ns.
        temporaries: our own unfinished files, by folder.
    """

    files: pl.DataFrame
    temporaries: dict[str, list[bytes]]


def list_variants(library: Library, keys: Sequence[str]) -> VariantListing:
    """Lists every variant folder of some timelapses.

    Raises:
        ArchiveUnavailable: a folder cannot be read.
    """
    frames = [pl.DataFrame(schema=_ACTUAL)]
    temporaries: dict[str, list[bytes]] = {}
    folders = sorted({spec.folder for spec in library.settings.specs.values()})
    for key in keys:
        for folder in folders:
            path = os.path.join(library.variants(key), folder)
            listing = list_files(path)
            frames.append(_as_actual(listing_frame(key, listing), folder))
            if listing.temporaries:
                temporaries[path] = listing.temporaries
    return VariantListing(files=pl.concat(frames), temporaries=temporaries)


def look_at_variants(library: Library, expected: pl.DataFrame, recorded: pl.DataFrame) -> VariantListing:
    """The same confined to the paths that are expected or recorded; costs by their number."""
    paths = pl.concat([expected.select("timelapse", "variant_path"), recorded.select("timelapse", "variant_path")])
    split = paths.drop_nulls().unique().with_columns(folder=pl.col("variant_path").str.split("/").list.first())
    frames = [pl.DataFrame(schema=_ACTUAL)]
    for (key, folder), wanted in split.partition_by("timelapse", "folder", as_dict=True).items():
        files = wanted["variant_path"].str.strip_prefix(f"{folder}/").to_list()
        listing = look_at(os.path.join(library.variants(str(key)), str(folder)), files)
        frames.append(_as_actual(listing_frame(str(key), listing), str(folder)))
    return VariantListing(files=pl.concat(frames), temporaries={})


def _as_actual(listed: pl.DataFrame, folder: str) -> pl.DataFrame:
    return listed.select(
        "timelapse", (pl.lit(folder + "/") + pl.col("source_name")).alias("variant_path"), "n_bytes", "mtime_ns"
    )
