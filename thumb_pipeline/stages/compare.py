"""Compares, for one variant, what sources require with what is recorded and what lies in the variant folders.

One variant at a time bounds the memory at half a million sources. The rules are in `analytics.states`; files that
stay doubtful are looked into by `examine`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from thumb_pipeline.analytics.expected import variant_path
from thumb_pipeline.analytics.states import records, variant_states
from thumb_pipeline.domain.plans import State
from thumb_pipeline.domain.variants import VariantSpec
from thumb_pipeline.stages.inventory import Survey
from thumb_pipeline.stages.library import Library
from thumb_pipeline.stages.listing import VariantListing, list_variants, look_at_variants


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
            variant and spec_fingerprint.
        n_valid: timelapse, n of the valid ones.
        temporaries: unfinished files met in its folder, by folder.
        cost: what recorded ones took.
    """

    others: pl.DataFrame
    n_valid: pl.DataFrame
    temporaries: dict[str, list[bytes]]
    cost: Cost


def compare(
    library: Library,
    found: Survey,
    spec: VariantSpec,
    *,
    decoder: str,
    only: Sequence[str] | None,
    retry_failed: bool,
    keep_valid: bool,
) -> Comparison:
    """The states of one variant of the surveyed sources.

    Args:
        library: the library.
        found: a survey.
        spec: the variant's; timelapses whose policy leaves it out require none.
        decoder: version of today's decoders.
        only: the source names that the survey was confined to.
        retry_failed: whether refused sources are tried again.
        keep_valid: whether valid ones are rows too, because they are to be made again.

    Raises:
        ArchiveUnavailable: a folder cannot be listed.
    """
    keys = [key for key in found.keys if spec in library.settings.for_timelapse(key).specs]
    sources = found.sources if len(keys) == len(found.keys) else found.sources.filter(pl.col("timelapse").is_in(keys))
    frame_at, now = library.settings.frame_at.text, datetime.now(UTC)
    recorded = library.manifest.query(
        keys, lambda rows: records(rows, spec, decoder=decoder, frame_at=frame_at, now=now), names=only
    )
    listing = _listed(library, found.keys, spec, sources, recorded, only)
    states = variant_states(
        sources.lazy(),
        recorded.lazy(),
        listing.files.lazy(),
        spec,
        n_timelapses=len(found.keys),
        retry_failed=retry_failed,
    ).collect()
    is_valid = (pl.col("state") == State.VALID.value) & pl.lit(not keep_valid)
    return Comparison(
        others=states.filter(~is_valid).with_columns(
            variant=pl.lit(spec.name), spec_fingerprint=pl.lit(spec.fingerprint)
        ),
        n_valid=states.filter(is_valid).group_by("timelapse").agg(n=pl.len().cast(pl.Int64)),
        temporaries=listing.temporaries,
        cost=_cost(library, keys, spec, only),
    )


def _listed(
    library: Library,
    keys: Sequence[str],
    spec: VariantSpec,
    sources: pl.DataFrame,
    recorded: pl.DataFrame,
    only: Sequence[str] | None,
) -> VariantListing:
    """The variant's folder, and those where records say it was before the settings moved it."""
    if only is not None:
        expected = sources.select("timelapse", variant_path=variant_path(spec))
        return look_at_variants(
            library, pl.concat([expected, recorded.select("timelapse", variant_path="r_variant_path")])
        )
    folders = recorded.select(pl.col("r_variant_path").str.extract("^([^/]+)/")).unique().to_series().drop_nulls()
    listings = [list_variants(library, keys, folder) for folder in sorted({spec.folder, *folders})]
    return VariantListing(
        files=pl.concat([listing.files for listing in listings]),
        temporaries={folder: names for listing in listings for folder, names in listing.temporaries.items()},
    )


def _cost(library: Library, keys: Sequence[str], spec: VariantSpec, only: Sequence[str] | None) -> Cost:
    made = (pl.col("variant") == spec.name) & pl.col("render_ms").is_not_null() & (pl.col("state") == "made")
    sums = (pl.len(), pl.col("render_ms").sum(), pl.col("n_bytes").sum())
    n, ms, n_bytes = library.manifest.query(keys, lambda rows: rows.filter(made).select(sums), names=only).row(0)
    return Cost(n=int(n), ms=float(ms or 0.0), n_bytes=float(n_bytes or 0.0))
