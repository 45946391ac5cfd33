"""What the reports and checks of verification show in the UI: a sentence, numbers, and tables.

Numbers are computed in the stages; see `reporting` for the other assets.
"""

import dagster as dg
import polars as pl

from thumb_pipeline.datasets.schemas import FINDINGS
from thumb_pipeline.defs.shown.reporting import Metadata, column_schema, table
from thumb_pipeline.domain.findings import OrphanKind
from thumb_pipeline.domain.quantities import counted, human_bytes
from thumb_pipeline.stages.inventory.listing import Discovery
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.verification import words
from thumb_pipeline.stages.verification.health import Answer
from thumb_pipeline.stages.verification.reports import SHOWN_ROWS, Report

_COMMAND = "thumb-pipeline"
_MOST_TIMELAPSES = 1000


def verification_metadata(library: Library, report: Report) -> Metadata:
    """The states of all variants, in words and numbers, and the worst findings."""
    verdicts, timelapses = report.verdicts, report.timelapses
    metadata: Metadata = {
        "summary": dg.MetadataValue.text(words.sentence(verdicts, library.settings.specs)),
        "sources": _total(timelapses, "sources"),
        **{state: dg.MetadataValue.int(n) for state, n in words.states(verdicts).items()},
        "vanished_sources": _total(timelapses, "vanished"),
        "replaced_sources": _total(timelapses, "replaced"),
        "bit_rot_sources": _total(timelapses, "bit_rot"),
    }
    for name in library.settings.specs:
        mine = verdicts.filter(pl.col("variant") == name)
        metadata[f"{name}_count_recorded"] = _total(mine, "recorded")
        metadata[f"{name}_count_found"] = _total(mine, "found")
    if commands := words.remedies(verdicts):
        metadata["to_put_it_right"] = _commands(commands, timelapses["timelapse"].to_list())
    if timelapses.height > 1:
        metadata["by_timelapse"] = _by_timelapse(verdicts)
    if report.n_findings:
        metadata["first_findings"] = table(_shown(report.findings, timelapses))
    metadata["dagster/row_count"] = dg.MetadataValue.int(report.n_findings)
    metadata["dagster/column_schema"] = dg.MetadataValue.table_schema(column_schema(FINDINGS))
    return metadata


def orphan_metadata(report: Report) -> Metadata:
    """The files that nothing expects: how many of each kind, and the largest."""
    kinds = report.orphan_kinds
    n_files, n_bytes = int(kinds["n_files"].sum()), int(kinds["n_bytes"].sum())
    timelapses = report.timelapses
    metadata: Metadata = {
        "summary": dg.MetadataValue.text(_orphan_sentence(kinds, n_files, n_bytes)),
        "orphans": dg.MetadataValue.int(n_files),
        "bytes": dg.MetadataValue.int(n_bytes),
    }
    for kind in OrphanKind:
        mine = kinds.filter(pl.col("kind") == kind.value)
        metadata[f"kind/{kind.value}"] = _total(mine, "n_files")
    metadata["files_in_variant_folders"] = _total(timelapses, "n_files")
    metadata["bytes_in_variant_folders"] = _total(timelapses, "n_bytes")
    if n_files:
        metadata["to_put_it_right"] = _commands(["repair", "sweep"], timelapses["timelapse"].to_list())
        metadata["by_kind_and_evidence"] = table(_totals(kinds, "kind", "evidence"))
        if timelapses.height > 1:
            metadata["by_timelapse"] = table(_totals(kinds, "timelapse"), limit=_MOST_TIMELAPSES)
        metadata["largest_orphans"] = table(_shown(report.orphans, timelapses))
    metadata["dagster/row_count"] = dg.MetadataValue.int(n_files)
    return metadata


def check_metadata(answer: Answer) -> Metadata:
    """The numbers behind the answer, the worst timelapses, and what to do."""
    metadata: Metadata = {
        name: dg.MetadataValue.float(n) if isinstance(n, float) else dg.MetadataValue.int(n)
        for name, n in answer.numbers.items()
    }
    if answer.remedies:
        commands = (f"{_COMMAND} {command}" for command in answer.remedies)
        metadata["to_put_it_right"] = dg.MetadataValue.text("; ".join(commands))
    if not answer.worst.is_empty():
        metadata["worst_timelapses"] = table(answer.worst.with_columns(_moment("verified_at").fill_null("never")))
    return metadata


def unknown_folder_metadata(found: Discovery) -> Metadata:
    """The folders that belong to no known timelapse, each with what it is and what to do about it."""
    rows = [
        {
            "folder": folder,
            "what": "its name is not that of a camera or timelapse",
            "to do": "rename it, or leave it; the pipeline ignores it",
        }
        for folder in found.unmatched
    ] + [
        {"folder": key, "what": "variants of a timelapse that is not in the library", "to do": "thumb-pipeline sweep"}
        for key in found.stray
    ]
    metadata: Metadata = {
        "folders": dg.MetadataValue.int(len(rows)),
        "without_a_known_name": dg.MetadataValue.int(len(found.unmatched)),
        "variants_without_a_timelapse": dg.MetadataValue.int(len(found.stray)),
        "dagster/row_count": dg.MetadataValue.int(len(rows)),
    }
    if rows:
        metadata["first_folders"] = table(pl.DataFrame(rows), limit=SHOWN_ROWS)
    return metadata


def _total(rows: pl.DataFrame, column: str) -> dg.IntMetadataValue:
    return dg.MetadataValue.int(int(rows[column].sum()))


def _totals(kinds: pl.DataFrame, *by: str) -> pl.DataFrame:
    return kinds.group_by(*by).agg(pl.col("n_files", "n_bytes").sum()).sort("n_bytes", descending=True)


def _commands(commands: list[str], keys: list[str]) -> dg.MarkdownMetadataValue:
    """One line for each command; it names the timelapse if there is only one."""
    of = f" --timelapse {keys[0]}" if len(keys) == 1 else ""
    return dg.MetadataValue.md("\n".join(f"- `{_COMMAND} {command}{of}`" for command in commands))


def _by_timelapse(verdicts: pl.DataFrame) -> dg.TableMetadataValue:
    """Timelapses by what is wrong with them, worst first; states that do not occur are left out."""
    counts = [name for name, n in words.states(verdicts).items() if n]
    wrong = pl.sum_horizontal(words.WRONG_STATES)
    rows = verdicts.group_by("timelapse").agg(pl.col("required", *words.states(verdicts)).sum())
    return table(
        rows.sort(wrong, "timelapse", descending=[True, False]).select("timelapse", "required", *counts),
        limit=_MOST_TIMELAPSES,
    )


def _shown(rows: pl.DataFrame, timelapses: pl.DataFrame) -> pl.DataFrame:
    """The rows without empty columns, and without the timelapse if it is the same in every row."""
    rows = rows.drop("timelapse") if timelapses.height == 1 else rows
    texts = [name for name in rows.columns if rows[name].dtype == pl.String]
    rows = rows.with_columns(pl.when(pl.col(texts) != "").then(pl.col(texts)))
    return rows.select(name for name in rows.columns if rows[name].is_not_null().any())


def _moment(column: str) -> pl.Expr:
    return pl.col(column).dt.strftime("%Y-%m-%d %H:%M UTC")


def _orphan_sentence(kinds: pl.DataFrame, n_files: int, n_bytes: int) -> str:
    if not n_files:
        return "every file in the variant folders is expected"
    by_kind = ", ".join(f"{n:,} {kind}" for kind, n, _ in _totals(kinds, "kind").iter_rows())
    return f"{counted(n_files, 'file')} that nothing expects, {human_bytes(n_bytes)}: {by_kind}"
