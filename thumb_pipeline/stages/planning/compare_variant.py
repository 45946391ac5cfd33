"""Compares, for one variant, what sources require with what is recorded and what lies in the variant folders.

One variant at a time bounds the memory at half a million sources. The rules are in `analytics.states`;
`examining.adopt` examines files that stay doubtful.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from thumb_pipeline.analytics.expected import folder_of, variant_path
from thumb_pipeline.analytics.states import variant_states
from thumb_pipeline.datasets.schemas import FILE_KEY
from thumb_pipeline.domain.plans import RecordState, State
from thumb_pipeline.domain.variants import VariantSpec
from thumb_pipeline.stages.examining.damage import mark_damaged
from thumb_pipeline.stages.inventory.listing import VariantListing, list_variants, look_at_variants
from thumb_pipeline.stages.inventory.selection import Selection, refuse_absent_variants
from thumb_pipeline.stages.inventory.survey import Survey
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.planning.policy import (
    add_predecessors,
    find_required_sources,
    keeps_latest_only,
    read_records,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What recorded variants took: how many, milliseconds in all, bytes in all."""

    n: int = 0
    ms: float = 0.0
    n_bytes: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(n=self.n + other.n, ms=self.ms + other.ms, n_bytes=self.n_bytes + other.n_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One variant's states in some timelapses.

    Attributes:
        others: rows of `analytics.states.variant_states` that are not valid (with `keep_valid`, all), with their
            variant and spec_fingerprint; valid ones too where `is_damaged`, as their files are to be opened again.
        n_valid: timelapse, n of the valid ones.
        temporaries: unfinished files in its folders, by folder.
        cost: what its recorded variants took.
        presence: timelapse, required, recorded, found: how many variants must exist, have a record, have a file.
        listed: timelapse, folder, n_files, n_bytes of the folders that were listed for it.
        unclaimed: timelapse, variant_path, n_bytes, mtime_ns of the files there that are not a variant of this name of
            any source, neither as expected nor as recorded; empty without `Look.find_unclaimed`.
    """

    others: pl.DataFrame
    n_valid: pl.DataFrame
    temporaries: dict[str, list[bytes]]
    cost: Cost
    presence: pl.DataFrame
    listed: pl.DataFrame
    unclaimed: pl.DataFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How variants are compared.

    Attributes:
        only: the source names that the survey was confined to; None for all.
        retry_failed: try refused sources again.
        keep_valid: keep valid variants as rows, because they are to be made again or opened.
        find_unclaimed: look for files that nothing expects.
    """

    only: Sequence[str] | None = None
    retry_failed: bool = False
    keep_valid: bool = False
    find_unclaimed: bool = False


def compare(library: Library, found: Survey, spec: VariantSpec, look: Look) -> Comparison:
    """The states of one variant of the surveyed sources; timelapses whose policy leaves it out require none.

    Raises:
        ArchiveUnavailable: a folder cannot be listed.
    """
    only, again = look.only, look.retry_failed
    sources = find_required_sources(library, found.keys, found.sources, spec, only=only, retry_failed=again)
    named = None if keeps_latest_only(library, found.keys, spec) else only  # the predecessor has another name
    recorded = read_records(library, found.keys, spec, names=named)
    listing = _list_folders(library, found.keys, spec, sources, recorded, only)
    states = variant_states(
        sources.lazy(),
        recorded.lazy(),
        listing.files.lazy(),
        spec,
        n_timelapses=len(found.keys),
        retry_failed=again,
    ).collect()
    states = add_predecessors(library, states, recorded, listing.files, found.vanished, spec)
    states = mark_damaged(library, states, listing.files, only)
    is_valid = (pl.col("state") == State.VALID.value) & ~pl.col("is_damaged") & pl.lit(not look.keep_valid)
    return Comparison(
        others=states.filter(~is_valid).with_columns(
            variant=pl.lit(spec.name), spec_fingerprint=pl.lit(spec.fingerprint)
        ),
        n_valid=states.filter(is_valid).group_by("timelapse").agg(n=pl.len().cast(pl.Int64)),
        temporaries=listing.temporaries,
        cost=_cost(library, found.keys, spec, only),
        presence=_presence(states, recorded),
        listed=folder_usage(listing.files),
        unclaimed=_unclaimed(listing.files, states) if look.find_unclaimed else listing.files.head(0),
    )


def compare_whole(library: Library, found: Survey, selection: Selection, *, keep_valid: bool) -> list[Comparison]:
    """The comparison of every variant of the surveyed timelapses, files that nothing expects included.

    Raises:
        Refused: the disk of the variants is not there, or a variant folder is a link.
        ArchiveUnavailable: a folder cannot be listed.
    """
    look = Look(keep_valid=keep_valid, find_unclaimed=True)
    compared = [compare(library, found, spec, look) for spec in library.settings.specs.values()]
    refuse_absent_variants(library, selection, sum(part.cost.n for part in compared))
    return compared


def folder_usage(files: pl.DataFrame) -> pl.DataFrame:
    """Files and bytes of listed variant folders: timelapse, folder, n_files, n_bytes."""
    return files.group_by("timelapse", folder_of()).agg(
        n_files=pl.len().cast(pl.Int64), n_bytes=pl.col("n_bytes").sum()
    )


def _presence(states: pl.DataFrame, recorded: pl.DataFrame) -> pl.DataFrame:
    made = recorded.filter(~pl.col("r_is_refused")).group_by("timelapse").agg(recorded=pl.len().cast(pl.Int64))
    expected = states.group_by("timelapse").agg(
        required=pl.len().cast(pl.Int64), found=pl.col("is_present").sum().cast(pl.Int64)
    )
    joined = expected.join(made, on="timelapse", how="full", coalesce=True)
    return joined.select("timelapse", pl.col("required", "recorded", "found").fill_null(0))


def _unclaimed(files: pl.DataFrame, states: pl.DataFrame) -> pl.DataFrame:
    """Listed files that are neither expected nor the last variant made, which an expected one is to supersede."""
    if states["is_present"].sum() == files.height:
        return files.head(0)
    superseded = states.filter(pl.col("superseded_path").is_not_null())
    claimed = [
        states.select(*FILE_KEY),
        superseded.select("timelapse", variant_path="superseded_path"),
    ]
    return files.join(pl.concat(claimed), on=FILE_KEY, how="anti")


def _list_folders(
    library: Library,
    keys: Sequence[str],
    spec: VariantSpec,
    sources: pl.DataFrame,
    recorded: pl.DataFrame,
    only: Sequence[str] | None,
) -> VariantListing:
    """Lists the variant's folder, and the folders that records name from before the settings moved it."""
    if only is not None:
        expected = sources.select("timelapse", variant_path=variant_path(spec))
        return look_at_variants(
            library, pl.concat([expected, recorded.select("timelapse", variant_path="r_variant_path")])
        )
    folders = {spec.folder: list(keys)}
    # A recorded folder is listed only for its own timelapse: in another one, that name may not be ours.
    for key, name in (
        recorded.select("timelapse", folder_of("r_variant_path")).unique().drop_nulls().sort(pl.all()).iter_rows()
    ):
        if name != spec.folder:
            folders.setdefault(name, []).append(key)
    listings = [list_variants(library, mine, name) for name, mine in sorted(folders.items())]
    return VariantListing(
        files=pl.concat([listing.files for listing in listings]),
        temporaries={folder: names for listing in listings for folder, names in listing.temporaries.items()},
    )


def _cost(library: Library, keys: Sequence[str], spec: VariantSpec, only: Sequence[str] | None) -> Cost:
    made = (pl.col("variant") == spec.name) & pl.col("render_ms").is_not_null() & (pl.col("state") == RecordState.MADE)
    sums = (pl.len(), pl.col("render_ms").sum(), pl.col("n_bytes").sum())
    n, ms, n_bytes = library.manifest.query(keys, lambda rows: rows.filter(made).select(sums), names=only).row(0)
    return Cost(n=int(n), ms=float(ms or 0.0), n_bytes=float(n_bytes or 0.0))
