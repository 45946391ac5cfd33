"""Why nothing expects a file in a variant folder, by its record or its name.

`stages.planning.compare_variant` decides which files those are; `stages.examining.unclaimed` reads their provenance.
"""

from collections.abc import Sequence

import polars as pl

from thumb_pipeline.domain import names
from thumb_pipeline.domain.findings import OrphanKind
from thumb_pipeline.domain.variants import VariantSpec

TOLD = {"variant": pl.String, "source_name": pl.String}
"""What the name of a file tells: the variant and the source it would belong to; empty if it tells neither."""


def told_by_name(variant_path: str, specs: Sequence[VariantSpec]) -> dict[str, str]:
    """Variant and source that a variant's path would belong to under one of the specs (`TOLD`)."""
    folder, _, text = variant_path.partition("/")
    name = names.to_bytes(text)
    for spec in specs:
        source = names.source_name(name, spec.tag, spec.extension) if spec.folder == folder else None
        if source is not None:
            return {"variant": spec.name, "source_name": names.to_text(source)}
    return {"variant": "", "source_name": ""}


def explained(
    files: pl.DataFrame, recorded: pl.DataFrame, sources: pl.DataFrame, specs: Sequence[VariantSpec]
) -> pl.DataFrame:
    """Unexpected files with the reason why nothing expects them, and the evidence.

    Args:
        files: timelapse, variant_path, n_bytes, mtime_ns.
        recorded: timelapse, variant_path, variant, source_name of the manifest's rows for these files.
        sources: timelapse, source_name of the sources that exist.
        specs: every variant of the settings.

    Returns:
        The columns of `files` and variant, source_name (empty if unknown), kind, evidence.
    """
    on = ["timelapse", "variant_path"]
    known = [spec.name for spec in specs]
    joined = files.join(_one_per_path(recorded, known), on=on, how="left")
    unrecorded = joined.filter(pl.col("variant").is_null()).select(files.columns)
    by_path = pl.DataFrame([told_by_name(path, specs) for path in unrecorded["variant_path"]], schema=TOLD)
    by_name = pl.concat([unrecorded, by_path], how="horizontal").with_columns(
        evidence=pl.when(pl.col("source_name") != "").then(pl.lit("name")).otherwise(pl.lit("none"))
    )
    by_record = joined.filter(pl.col("variant").is_not_null()).with_columns(evidence=pl.lit("record"))
    exists = sources.select("timelapse", "source_name", exists=pl.lit(True))
    return (
        pl.concat([by_record, by_name.select(by_record.columns)])
        .join(exists, on=["timelapse", "source_name"], how="left")
        .with_columns(kind=_kind(known))
        .drop("exists")
    )


def _one_per_path(recorded: pl.DataFrame, known: list[str]) -> pl.DataFrame:
    """One record a file: after a variant was renamed, several name the same file, and one whose variant exists wins."""
    return (
        recorded.with_columns(is_known=pl.col("variant").is_in(known))
        .sort("is_known", "variant", "source_name", descending=[True, False, False])
        .unique(["timelapse", "variant_path"], keep="first", maintain_order=True)
        .drop("is_known")
    )


def _kind(known: list[str]) -> pl.Expr:
    return (
        pl.when(pl.col("variant") == "")
        .then(pl.lit(OrphanKind.UNPARSABLE_NAME.value))
        .when(~pl.col("variant").is_in(known))
        .then(pl.lit(OrphanKind.SPEC_RETIRED.value))
        .when(pl.col("exists"))
        .then(pl.lit(OrphanKind.POLICY.value))
        .otherwise(pl.lit(OrphanKind.SOURCE_GONE.value))
    )
