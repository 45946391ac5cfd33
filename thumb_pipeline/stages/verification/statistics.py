"""Measures a library from a fresh listing: how complete it is and how much disk space it uses.

Nothing is opened or written, and no record is used: sources and variants are counted on the disk.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from thumb_pipeline.analytics.coverage import coverage
from thumb_pipeline.analytics.usage import variant_usage
from thumb_pipeline.datasets.schemas import FILE_KEY
from thumb_pipeline.stages.inventory.listing import discover, list_sources, list_variants, sources_of
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.planning.policy import find_expected_paths


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The counts of a library.

    Attributes:
        n_sources: sources in all timelapses.
        n_timelapses: timelapses on the disk.
        coverage: variant, required, present, ratio.
        coverage_by_timelapse: timelapse, variant, required, present, ratio.
        disk_usage: variant, n_files, n_bytes.
        disk_usage_by_timelapse: timelapse, variant, n_files, n_bytes.
    """

    n_sources: int
    n_timelapses: int
    coverage: pl.DataFrame
    coverage_by_timelapse: pl.DataFrame
    disk_usage: pl.DataFrame
    disk_usage_by_timelapse: pl.DataFrame


_TALLY = {"timelapse": pl.String, "variant": pl.String, "is_present": pl.Boolean, "n": pl.Int64}
_USAGE = {"timelapse": pl.String, "variant": pl.String, "n_files": pl.Int64, "n_bytes": pl.Int64}


def measure(library: Library) -> Measurement:
    """Counts sources, required and present variants, files and bytes, one timelapse at a time.

    Raises:
        ArchiveUnavailable: a folder cannot be listed; a partial count would look like a whole one.
    """
    keys = discover(library).keys
    folders = sorted({spec.folder for spec in library.settings.specs.values()})
    tallies, usages, n_sources = [pl.DataFrame(schema=_TALLY)], [pl.DataFrame(schema=_USAGE)], 0
    for key in keys:
        sources = sources_of([list_sources(library, key)])
        n_sources += sources.height
        files = pl.concat([list_variants(library, [key], folder).files for folder in folders])
        tallies.append(_tally(library, sources, files, [key]))
        usages.append(variant_usage(files.lazy(), tuple(library.settings.specs.values())).collect())
    return summarise(library, pl.concat(tallies), pl.concat(usages), n_sources=n_sources, n_timelapses=len(keys))


def summarise(
    library: Library, tally: pl.DataFrame, usage: pl.DataFrame, *, n_sources: int, n_timelapses: int
) -> Measurement:
    """Adds up counts by timelapse; every variant of the settings has a row, also one without a file."""
    names = pl.DataFrame({"variant": list(library.settings.variants)}, schema={"variant": pl.String})
    covered = names.join(coverage(tally.lazy()).collect(), on="variant", how="left", maintain_order="left")
    used = usage.group_by("variant").agg(pl.col("n_files", "n_bytes").sum())
    return Measurement(
        n_sources=n_sources,
        n_timelapses=n_timelapses,
        coverage=covered.with_columns(pl.col("required", "present").fill_null(0)),
        coverage_by_timelapse=coverage(tally.lazy(), by=("timelapse", "variant")).collect(),
        disk_usage=names.join(used, on="variant", how="left", maintain_order="left").fill_null(0),
        disk_usage_by_timelapse=usage.sort("timelapse", "variant"),
    )


def _tally(library: Library, sources: pl.DataFrame, files: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    stands = files.select(*FILE_KEY, is_present=pl.lit(True))
    return (
        find_expected_paths(library, sources, keys)
        .join(stands, on=FILE_KEY, how="left")
        .group_by("timelapse", "variant", pl.col("is_present").fill_null(False))
        .agg(n=pl.len().cast(pl.Int64))
        .select(list(_TALLY))
    )
