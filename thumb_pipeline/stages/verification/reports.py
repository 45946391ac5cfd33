"""Cuts what a verification found into reports for people: totals, the first findings, the largest orphans.

The full tables are kept by `verdicts`. What the words mean is in `domain.findings`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from thumb_pipeline.datasets.rows import by_timelapse
from thumb_pipeline.datasets.schemas import FINDINGS, VERDICTS, VERIFIED
from thumb_pipeline.domain.findings import SourceFinding, VariantState
from thumb_pipeline.stages.planning.orphans import ORPHANS
from thumb_pipeline.stages.verification.verify import VerifiedPart

SHOWN_ROWS = 50
_DAY_NS = 86_400 * 10**9

_FIRST_SHOWN = (
    *(VariantState.CORRUPT, SourceFinding.BIT_ROT, VariantState.MISSING, SourceFinding.VANISHED),
    *(VariantState.FAILED, VariantState.STALE_SOURCE, SourceFinding.REPLACED, VariantState.STALE_SPEC),
    *(VariantState.UNRECORDED, VariantState.ORPHAN, VariantState.PENDING),
)
"""The worst states come first, as a long report shows only its first rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The report of one verification of some timelapses.

    Attributes:
        verdicts: counts by timelapse and variant (`VERDICTS` columns).
        timelapses: one row each (`VERIFIED` columns).
        n_findings: number of rows in the whole table of findings.
        findings: the first of these rows: finding, timelapse, file, variant, why.
        orphan_kinds: counts of orphans: timelapse, kind, evidence, n_files, n_bytes.
        orphans: the largest orphans: timelapse, file, n_bytes, age_days, kind, evidence, source.
    """

    verdicts: pl.DataFrame
    timelapses: pl.DataFrame
    n_findings: int
    findings: pl.DataFrame
    orphan_kinds: pl.DataFrame
    orphans: pl.DataFrame


def reports(part: VerifiedPart, keys: Sequence[str]) -> Iterator[tuple[str, Report]]:
    """One report for each of these timelapses; all of them must be part of the verification."""
    tables = (part.verdicts, part.timelapses, part.findings, part.orphans.files)
    cut = [by_timelapse(table) for table in tables]
    for key in keys:
        mine = [rows.get(key, table.clear()) for rows, table in zip(cut, tables, strict=True)]
        yield key, _report(*mine)


def report(part: VerifiedPart) -> Report:
    """One report of all timelapses of the verification."""
    return _report(part.verdicts, part.timelapses, part.findings, part.orphans.files)


def together(parts: Sequence[Report]) -> Report:
    """One report of several verifications; an empty report where there are none."""
    if not parts:
        empty = (VERDICTS.empty(), VERIFIED.empty(), FINDINGS.empty(), pl.DataFrame(schema=ORPHANS))
        return _report(*empty)
    findings = pl.concat([part.findings for part in parts])
    return Report(
        verdicts=pl.concat([part.verdicts for part in parts]),
        timelapses=pl.concat([part.timelapses for part in parts]),
        n_findings=sum(part.n_findings for part in parts),
        findings=findings.sort(_urgency("finding"), maintain_order=True).head(SHOWN_ROWS),
        orphan_kinds=pl.concat([part.orphan_kinds for part in parts]),
        orphans=_largest(pl.concat([part.orphans for part in parts])),
    )


def _report(verdicts: pl.DataFrame, timelapses: pl.DataFrame, findings: pl.DataFrame, orphans: pl.DataFrame) -> Report:
    return Report(
        verdicts=verdicts,
        timelapses=timelapses,
        n_findings=findings.height,
        findings=_readable_findings(findings),
        orphan_kinds=orphans.group_by("timelapse", "kind", "evidence")
        .agg(n_files=pl.len().cast(pl.Int64), n_bytes=pl.col("n_bytes").sum())
        .sort("timelapse", "kind", "evidence"),
        orphans=_readable_orphans(orphans, timelapses["verified_at"].max()),  # type: ignore[arg-type]  # of instants
    )


def _readable_findings(findings: pl.DataFrame) -> pl.DataFrame:
    """The first findings in few columns, for a page. A variant is named by its source, an orphan by its path."""
    is_orphan = pl.col("state") == VariantState.ORPHAN.value
    return (
        findings.lazy()
        .sort(_urgency("state"), "timelapse", "source_name", "variant_path")
        .head(SHOWN_ROWS)
        .select(
            *(pl.col("state").alias("finding"), "timelapse"),
            pl.when(is_orphan).then("variant_path").otherwise("source_name").alias("file"),
            pl.when(~is_orphan).then("variant").alias("variant"),
            pl.concat_str("reason", pl.lit(": ") + pl.col("detail"), ignore_nulls=True).alias("why"),
        )
        .collect()
    )


def _readable_orphans(orphans: pl.DataFrame, now: datetime | None) -> pl.DataFrame:
    age = pl.lit(now).dt.epoch("ns") - pl.col("mtime_ns") if now is not None else pl.lit(0)
    return _largest(
        orphans.select(
            *("timelapse", pl.col("variant_path").alias("file"), "n_bytes"),
            (age / _DAY_NS).round(1).clip(0).alias("age_days"),
            *("kind", "evidence", pl.col("source_name").alias("source")),
        )
    )


def _largest(orphans: pl.DataFrame) -> pl.DataFrame:
    return orphans.sort("n_bytes", "timelapse", "file", descending=[True, False, False]).head(SHOWN_ROWS)


def _urgency(column: str) -> pl.Expr:
    order = {state.value: number for number, state in enumerate(_FIRST_SHOWN)}
    return pl.col(column).replace_strict(order, default=len(order), return_dtype=pl.Int8)
