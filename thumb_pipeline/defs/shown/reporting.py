"""Turns results of stages into metadata for the UI.

Numbers are computed in the stages; here they get Dagster's types and readable names.
"""

from collections.abc import Mapping

import dagster as dg
import polars as pl

from thumb_pipeline.datasets.schemas import TableSchema
from thumb_pipeline.datasets.slices import Table
from thumb_pipeline.stages.rendering.chunk import ChunkResult, TimelapseCounts
from thumb_pipeline.stages.rendering.work_orders import FoundCounts, WorkOrder
from thumb_pipeline.stages.verification.statistics import Measurement

Metadata = dict[str, dg.MetadataValue]


def column_schema(schema: TableSchema) -> dg.TableSchema:
    """A table's columns as Dagster shows them."""
    return dg.TableSchema(columns=[dg.TableColumn(name, str(kind)) for name, kind in schema.columns.items()])


def table(rows: pl.DataFrame, *, limit: int = 50) -> dg.TableMetadataValue:
    """The first rows of a table, readable in the UI."""
    records = [
        dg.TableRecord({name: _cell(value) for name, value in row.items()}) for row in rows.head(limit).to_dicts()
    ]
    return dg.MetadataValue.table(records) if records else dg.MetadataValue.table([], schema=dg.TableSchema([]))


def _cell(value: object) -> str | int | float | bool:
    if isinstance(value, float):
        return round(value, 4)
    return value if isinstance(value, str | int | bool) else "-" if value is None else str(value)


def inventory_metadata(inventory: Table, keys: list[str]) -> Metadata:
    """What the inventory of one or more timelapses holds."""
    counted = inventory.query(keys, _inventory_numbers).row(0, named=True)
    basis = inventory.query(
        keys, lambda rows: rows.group_by("captured_at_basis").len("sources").sort("captured_at_basis")
    )
    return {
        "sources": dg.MetadataValue.int(counted["sources"]),
        "pending": dg.MetadataValue.int(counted["pending"]),
        "bytes": dg.MetadataValue.int(counted["n_bytes"]),
        "first_capture": dg.MetadataValue.text(str(counted["first"])),
        "last_capture": dg.MetadataValue.text(str(counted["last"])),
        "captured_at_basis": table(basis),
        "dagster/row_count": dg.MetadataValue.int(counted["sources"]),
        "dagster/column_schema": dg.MetadataValue.table_schema(column_schema(inventory.schema)),
    }


def _inventory_numbers(rows: pl.LazyFrame) -> pl.LazyFrame:
    return rows.select(
        sources=pl.len(),
        pending=(pl.col("state") == "pending").sum(),
        n_bytes=pl.col("n_bytes").sum(),
        first=pl.col("captured_at").min(),
        last=pl.col("captured_at").max(),
    )


def plan_metadata(by_reason: Mapping[str, int], schema: TableSchema) -> Metadata:
    """How many variants a plan makes, in total and for each reason."""
    n_variants = sum(by_reason.values())
    return {
        "variants_to_make": dg.MetadataValue.int(n_variants),
        **{f"reason/{reason}": dg.MetadataValue.int(n) for reason, n in by_reason.items()},
        "dagster/row_count": dg.MetadataValue.int(n_variants),
        "dagster/column_schema": dg.MetadataValue.table_schema(column_schema(schema)),
    }


def prediction_metadata(order: WorkOrder) -> Metadata:
    """The predicted cost of carrying a plan out."""
    return {
        "sources_to_read": dg.MetadataValue.int(order.n_sources),
        "bytes_to_read": dg.MetadataValue.int(order.n_bytes),
        "predicted_s": dg.MetadataValue.float(order.predicted_s),
    }


def thumbnails_metadata(
    order: WorkOrder, result: ChunkResult, schema: TableSchema, *, keys: list[str], sheet_base64: str | None
) -> Metadata:
    """What rendering did in some timelapses."""
    done = sum((result.by_timelapse.get(key, TimelapseCounts()) for key in keys), TimelapseCounts())
    found = [order.found.get(key, FoundCounts()) for key in keys]
    metadata: Metadata = {
        "sources": dg.MetadataValue.int(sum(counts.sources for counts in found)),
        "rendered": dg.MetadataValue.int(done.rendered),
        "adopted": dg.MetadataValue.int(sum(counts.adopted for counts in found)),
        "unchanged": dg.MetadataValue.int(done.unchanged + sum(counts.unchanged for counts in found)),
        "failed_sources": dg.MetadataValue.int(done.failed + sum(counts.failed for counts in found)),
        "pending_sources": dg.MetadataValue.int(done.pending + sum(counts.pending for counts in found)),
        "bytes_written": dg.MetadataValue.int(done.n_bytes),
        "dagster/column_schema": dg.MetadataValue.table_schema(column_schema(schema)),
    }
    if result.duration_s > 0:
        n_all = sum(counts.rendered for counts in result.by_timelapse.values())
        metadata["variants_per_s"] = dg.MetadataValue.float(round(n_all / result.duration_s, 1))
    mine = tuple(f"{key}/" for key in keys)
    slowest = [{"source": name, "ms": round(ms, 1)} for name, ms in result.slowest if name.startswith(mine)]
    failures = [{"source": n, "reason": r, "detail": d} for n, r, d in result.failures if n.startswith(mine)]
    if slowest:
        metadata["slowest_sources"] = table(pl.DataFrame(slowest))
    if failures:
        metadata["failures"] = table(pl.DataFrame(failures))
    if sheet_base64:
        metadata["newest_thumbnails"] = dg.MetadataValue.md(f"![newest](data:image/jpeg;base64,{sheet_base64})")
    return metadata


def coverage_metadata(measured: Measurement) -> Metadata:
    """Coverage in numbers, by variant and by timelapse."""
    numbers: Metadata = {
        "sources": dg.MetadataValue.int(measured.n_sources),
        "timelapses": dg.MetadataValue.int(measured.n_timelapses),
        "coverage": table(measured.coverage),
        "coverage_by_timelapse": table(measured.coverage_by_timelapse.sort("ratio", nulls_last=True), limit=1000),
    }
    for variant, _, _, ratio in measured.coverage.iter_rows():
        if ratio is not None:
            numbers[f"ratio/{variant}"] = dg.MetadataValue.float(ratio)
    return numbers


def disk_usage_metadata(measured: Measurement) -> Metadata:
    """Disk usage in numbers, by variant and by timelapse."""
    numbers: Metadata = {
        "disk_usage": table(measured.disk_usage),
        "disk_usage_by_timelapse": table(measured.disk_usage_by_timelapse.sort("n_bytes", descending=True), limit=1000),
    }
    for variant, n_files, n_bytes in measured.disk_usage.iter_rows():
        numbers[f"files/{variant}"] = dg.MetadataValue.int(n_files)
        numbers[f"bytes/{variant}"] = dg.MetadataValue.int(n_bytes)
    return numbers


def by_timelapse(order: WorkOrder, result: ChunkResult) -> pl.DataFrame:
    """One row for each timelapse of a run over many."""
    rows: list[Mapping[str, object]] = []
    for key, found in sorted(order.found.items()):
        done = result.by_timelapse.get(key, TimelapseCounts())
        rows.append(
            {
                "timelapse": key,
                "sources": found.sources,
                "rendered": done.rendered,
                "adopted": found.adopted,
                "unchanged": found.unchanged + done.unchanged,
                "failed": found.failed + done.failed,
                "pending": found.pending + done.pending,
            }
        )
    return pl.DataFrame(rows)
