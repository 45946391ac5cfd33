"""Which variants must exist: every source times every spec of its timelapse, with their paths.

The same names as `domain.names.variant_name`, computed column-wise; a property test keeps the two equal.
"""

import re
from collections.abc import Sequence

import polars as pl

from thumb_pipeline.domain import names
from thumb_pipeline.domain.variants import VariantSpec

_CANONICAL = r"^(timelapse-[A-Za-z0-9.-]+)_((?:[0-9]{8}|day[0-9]{3,6})_[0-9]{6})\.jpg$"
_LONGEST_PLAIN_BYTES = 200  # leaves room for any tag and extension; longer names are rare and go one by one


def folder_of(path: str = "variant_path") -> pl.Expr:
    """The variant folder in a column of variant paths."""
    return pl.col(path).str.extract("^([^/]+)/").alias("folder")


def expected_variants(sources: pl.LazyFrame, specs: Sequence[VariantSpec]) -> pl.LazyFrame:
    """One row a (source, variant).

    Args:
        sources: with `source_name`; its other columns are kept.
        specs: the variants each of them must have.

    Returns:
        The sources' columns and `variant`, `spec_fingerprint`, `variant_path`.
    """
    if not specs:
        return sources.head(0).with_columns(
            pl.lit("").alias("variant"), pl.lit("").alias("spec_fingerprint"), pl.lit("").alias("variant_path")
        )
    return pl.concat(
        sources.with_columns(
            pl.lit(spec.name).alias("variant"),
            pl.lit(spec.fingerprint).alias("spec_fingerprint"),
            variant_path(spec).alias("variant_path"),
        )
        for spec in specs
    )


def is_source_name() -> pl.Expr:
    """Whether the column `source_name` is neither hidden nor temporary: `domain.names.is_left_out`, column-wise."""
    endings = "|".join(re.escape(ending.decode()) for ending in names.TEMPORARY_ENDINGS)
    return ~pl.col("source_name").str.contains(f"^\\.|(?i-u:{endings})$")


def variant_path(spec: VariantSpec) -> pl.Expr:
    """folder/name of a variant below its timelapse's folder, as text, from the column `source_name`."""
    name = pl.col("source_name")
    is_plain = (name.str.len_bytes() <= _LONGEST_PLAIN_BYTES) & ~name.str.contains("[%~]")
    canonical = name.str.replace(_CANONICAL, f"${{1}}_{spec.tag}_${{2}}.{spec.extension}")
    appended = name + f"_{spec.tag}.{spec.extension}"
    plain = pl.when(name.str.contains(_CANONICAL)).then(canonical).otherwise(appended)
    unusual = pl.when(~is_plain).then(name).map_elements(lambda text: _unusual_name(text, spec), return_dtype=pl.String)
    return pl.lit(spec.folder + "/") + pl.when(is_plain).then(plain).otherwise(unusual)


def _unusual_name(text: str, spec: VariantSpec) -> str:
    return names.to_text(names.variant_name(names.to_bytes(text), spec.tag, spec.extension))
