"""Finds out which sources of which timelapses must have a variant: policy, applied to what exists.

Most timelapses ask for every capture, and then nothing needs to be known of the captures. Where a rule chooses among
them, they are dated and ordered here; the rules are `analytics.policy`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import polars as pl

from thumb_pipeline.analytics.expected import expected_variants
from thumb_pipeline.analytics.policy import in_order, required
from thumb_pipeline.analytics.retries import latest_retry_at
from thumb_pipeline.analytics.states import records
from thumb_pipeline.datasets.rows import by_timelapse
from thumb_pipeline.datasets.schemas import INSTANT, INVENTORY, SOURCE_KEY
from thumb_pipeline.domain.plans import State
from thumb_pipeline.domain.policy import Mode
from thumb_pipeline.domain.settings import for_timelapse
from thumb_pipeline.domain.variants import VariantSpec
from thumb_pipeline.imaging.sources.decoders import decoder_version
from thumb_pipeline.stages.inventory.capture_times import dated
from thumb_pipeline.stages.inventory.settling import SETTLED
from thumb_pipeline.stages.library.library import Library

_KNOWN = {
    "timelapse": pl.String,
    "source_name": pl.String,
    "state": pl.String,
    "captured_at": INSTANT,
    "first_seen_at": INSTANT,
    "is_refused": pl.Boolean,
}


def find_required_sources(
    library: Library,
    keys: Sequence[str],
    sources: pl.DataFrame,
    spec: VariantSpec,
    *,
    only: Sequence[str] | None = None,
    retry_failed: bool = False,
) -> pl.DataFrame:
    """The rows of `sources` that must have a variant by the policies of their timelapses.

    Args:
        library: the library.
        keys: timelapses; sources of others are left out.
        sources: timelapse, source_name, n_bytes, mtime_ns and, where they were surveyed, state and captured_at.
        spec: the variant's.
        only: the source names that `sources` was confined to; rules that compare captures then read the others from
            the inventory.
        retry_failed: whether refused sources count as if they could be rendered.
    """
    policies = {key: for_timelapse(library.settings, key).policy for key in keys}
    asking = [key for key, policy in policies.items() if spec.name in policy.variants]
    choosy = [key for key in asking if not policies[key].is_plain(spec.name)]
    if len(asking) < len(policies) or choosy:
        plain = sources.filter(pl.col("timelapse").is_in([key for key in asking if key not in choosy]))
    else:
        plain = sources
    if not choosy:
        return plain
    mine = sources.filter(pl.col("timelapse").is_in(choosy))
    known = _read_known(library, choosy, mine, spec, only=only, retry_failed=retry_failed)
    now = datetime.now(UTC)
    parts = by_timelapse(known)
    chosen = [
        required(parts[key].lazy(), policies[key], spec.name, now=now).select(SOURCE_KEY)
        for key in choosy
        if key in parts
    ]
    if not chosen:
        return plain
    return pl.concat([plain, mine.join(pl.concat(chosen).collect(), on=SOURCE_KEY, how="semi")])


def keeps_latest_only(library: Library, keys: Sequence[str], spec: VariantSpec) -> list[str]:
    """The timelapses in which only the newest capture has this variant."""
    return [
        key
        for key in keys
        if (rule := for_timelapse(library.settings, key).policy.eras[-1].rules.get(spec.name)) is not None
        and rule.mode is Mode.LATEST_ONLY
    ]


def drop_superseded(library: Library, rows: pl.DataFrame) -> pl.DataFrame:
    """Plan rows without the `latest_only` variants of captures that are not the newest any more.

    An old plan would otherwise make what newer captures have superseded. A refused capture counts as the newest, too:
    a capture to retry may be one. A capture that becomes the newest after this check is missed; the older capture's
    variant, made beside the newer one, is then an orphan for `sweep`.

    Args:
        library: the library.
        rows: of a plan (`PLAN` columns).
    """
    superseded = [rows.head(0)]
    for spec in library.settings.specs.values():
        mine = rows.filter(pl.col("variant") == spec.name)
        keys = keeps_latest_only(library, mine["timelapse"].unique().to_list(), spec)
        mine = mine.filter(pl.col("timelapse").is_in(keys))
        sources = mine.select(*SOURCE_KEY, n_bytes="source_n_bytes", mtime_ns="source_mtime_ns")
        only = sources["source_name"].unique().to_list()
        for retry_failed in (False, True) if keys else ():
            newest = find_required_sources(library, keys, sources, spec, only=only, retry_failed=retry_failed)
            mine = mine.join(newest, on=SOURCE_KEY, how="anti")
        superseded.append(mine)
    return rows.join(pl.concat(superseded), on=[*SOURCE_KEY, "variant"], how="anti", maintain_order="left")


def add_predecessors(
    library: Library,
    states: pl.DataFrame,
    recorded: pl.DataFrame,
    files: pl.DataFrame,
    vanished: pl.DataFrame,
    spec: VariantSpec,
) -> pl.DataFrame:
    """States in which the newest capture's variant supersedes the one that was the newest before.

    Args:
        library: the library.
        states: of one variant, as `analytics.states.variant_states` gives them.
        recorded: what `analytics.states.records` gives for it.
        files: timelapse, variant_path of the files in its folder.
        vanished: timelapse, source_name of recorded sources that are gone; their variants are orphans instead.
        spec: the variant's.
    """
    keys = keeps_latest_only(library, states["timelapse"].unique().to_list(), spec)
    if not keys:
        return states
    latest = states.filter(pl.col("timelapse").is_in(keys))
    standing = (
        recorded.filter(pl.col("timelapse").is_in(keys) & ~pl.col("r_is_refused"))
        .join(files, left_on=["timelapse", "r_variant_path"], right_on=["timelapse", "variant_path"], how="semi")
        .join(latest.select(SOURCE_KEY), on=SOURCE_KEY, how="anti")
        .join(vanished, on=SOURCE_KEY, how="anti")
    )
    dates = library.inventory.query(keys, lambda rows: rows.select(*SOURCE_KEY, "captured_at", "first_seen_at"))
    before = (
        in_order(standing.join(dates, on=SOURCE_KEY).lazy(), now=datetime.now(UTC))
        .group_by("timelapse")
        .agg(p_path=pl.col("r_variant_path").last(), p_source=pl.col("source_name").last())
        .collect()
    )
    joined = states.join(before, on="timelapse", how="left")
    is_made = pl.col("state") != State.VALID.value
    is_first = is_made & pl.col("superseded_path").is_null() & pl.col("p_path").is_not_null()
    return joined.with_columns(
        superseded_path=pl.when(is_first).then("p_path").otherwise("superseded_path"),
        superseded_source=pl.when(is_first).then("p_source").otherwise("superseded_source"),
    ).drop("p_path", "p_source")


def read_records(
    library: Library, keys: Sequence[str], spec: VariantSpec, *, names: Sequence[str] | None = None
) -> pl.DataFrame:
    """What is recorded of one variant in some timelapses, as `analytics.states.records` gives it.

    Args:
        library: the library.
        keys: the timelapses.
        spec: the variant's.
        names: only of these sources.
    """
    decoder, frame_at, now = decoder_version(), library.settings.frame_at.text, datetime.now(UTC)
    until = latest_retry_at(now, library.settings.retries.delays_s)
    return library.manifest.query(
        keys,
        lambda rows: records(rows, spec, decoder=decoder, frame_at=frame_at, now=now, latest_retry_at=until),
        names=names,
    )


def find_expected_paths(library: Library, sources: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Every variant that must exist for some timelapses' sources: timelapse, source_name, variant, variant_path."""
    parts = [
        expected_variants(find_required_sources(library, keys, sources, spec).lazy(), (spec,)).select(
            *SOURCE_KEY, "variant", "variant_path"
        )
        for spec in library.settings.specs.values()
    ]
    return pl.concat(parts).collect()


def _read_known(
    library: Library,
    keys: list[str],
    sources: pl.DataFrame,
    spec: VariantSpec,
    *,
    only: Sequence[str] | None,
    retry_failed: bool,
) -> pl.DataFrame:
    """What rules need to know of captures: state, captured_at, first_seen_at, is_refused."""
    columns = ("n_bytes", "mtime_ns", "state", "captured_at", "first_seen_at")
    inventory = library.inventory.query(keys, lambda rows: rows.select(*SOURCE_KEY, *columns))
    captures = sources.join(
        inventory.select(*SOURCE_KEY, "first_seen_at", i_state="state", i_captured_at="captured_at"),
        on=SOURCE_KEY,
        how="left",
    )
    if "captured_at" in sources.columns:
        captures = captures.drop("i_state", "i_captured_at")
    else:
        captures = captures.with_columns(state=pl.col("i_state").fill_null(SETTLED), captured_at="i_captured_at").drop(
            "i_state", "i_captured_at"
        )
    captures = _dated(library, captures.with_columns(pl.col("first_seen_at").fill_null(datetime.now(UTC))))
    if only is not None:
        others = inventory.join(sources, on=SOURCE_KEY, how="anti")
        captures = pl.concat([captures, others.select(captures.columns)])
    refused = _standing_refusals(library, keys, spec).filter(pl.lit(not retry_failed))
    return captures.join(refused, on=[*SOURCE_KEY, "n_bytes", "mtime_ns"], how="left").select(
        pl.col(name).fill_null(False) if name == "is_refused" else pl.col(name) for name in _KNOWN
    )


def _dated(library: Library, captures: pl.DataFrame) -> pl.DataFrame:
    """Captures; those without a recorded time are dated by their name or mtime."""
    undated = captures.filter(pl.col("captured_at").is_null())
    if undated.is_empty():
        return captures
    parts = [captures.filter(pl.col("captured_at").is_not_null())]
    for key, rows in by_timelapse(undated).items():
        unknown = [pl.lit(None, kind).alias(n) for n, kind in INVENTORY.columns.items() if n not in rows.columns]
        clock = for_timelapse(library.settings, key).clock
        parts.append(dated(rows.with_columns(unknown), clock, None).select(captures.columns))
    return pl.concat(parts)


def _standing_refusals(library: Library, keys: list[str], spec: VariantSpec) -> pl.DataFrame:
    recorded = read_records(library, keys, spec)
    stands = pl.col("r_is_refused") & pl.col("r_stands") & pl.col("r_same_spec")
    return recorded.filter(stands).select(
        *SOURCE_KEY, n_bytes="r_source_n_bytes", mtime_ns="r_source_mtime_ns", is_refused=pl.lit(True)
    )
