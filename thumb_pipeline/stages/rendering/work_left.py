"""Finds which rows of a plan are done, so that stopped work resumes there, also where everything is made again.

Which records count follows from what wrote them, the number of a merge or the id of a run, and never from a clock:
clocks are set, and records from the future would count as work of today.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace

import polars as pl

from thumb_pipeline.datasets.slices import MERGE
from thumb_pipeline.domain.plans import Reason
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.planning.plan import Plan

_FEW_SOURCES = 1_000
_AGAIN = [Reason.FORCED.value, Reason.RETRY.value]
_SAME = ["spec_fingerprint", "source_n_bytes", "source_mtime_ns"]


def merged_since(merges: Mapping[str, int]) -> pl.Expr:
    """Whether a record was written after a mark.

    Args:
        merges: by timelapse, the last merge before (`Table.last_merge`); records of other timelapses do not count.
    """
    mark = pl.col("timelapse").replace_strict(list(merges), list(merges.values()), default=None, return_dtype=pl.Int64)
    return (pl.col(MERGE) > min(merges.values(), default=0)) & (pl.col(MERGE) > mark)


def made_by(run_ids: Collection[str]) -> pl.Expr:
    """Whether a record is the work of some runs."""
    return pl.col("run_id").is_in(list(run_ids)).fill_null(False)


def done(library: Library, rows: pl.DataFrame, counts: pl.Expr) -> pl.DataFrame:
    """The plan rows that have a record which counts, with its `recorded_at`.

    Such a record is of the same variant, from the same source, by the same recipe.
    """
    return rows.join(_read_matching(library, rows, counts), on=_identity(library), how="inner", maintain_order="left")


def undone(library: Library, rows: pl.DataFrame, counts: pl.Expr) -> pl.DataFrame:
    """The plan rows that have no such record."""
    return rows.join(_read_matching(library, rows, counts), on=_identity(library), how="anti", maintain_order="left")


def find_left(library: Library, plan: Plan, keys: Collection[str], run_ids: Collection[str]) -> Plan:
    """A plan without what some runs made or tried again in some timelapses; rows with another reason stay."""
    is_resumed = pl.col("timelapse").is_in(list(keys)) & pl.col("reason").is_in(_AGAIN)
    counts = made_by(run_ids)
    parts = [
        replace(
            part,
            rows=pl.concat([part.rows.filter(~is_resumed), undone(library, part.rows.filter(is_resumed), counts)]),
        )
        for part in plan.parts
    ]
    return replace(plan, parts=parts)


def _identity(library: Library) -> list[str]:
    return ["timelapse", *library.manifest.schema.key, *_SAME]


def _read_matching(library: Library, rows: pl.DataFrame, counts: pl.Expr) -> pl.DataFrame:
    sources = rows["source_name"].unique()
    return library.manifest.query(
        rows["timelapse"].unique().to_list(),
        lambda recorded: recorded.filter(counts).select(*_identity(library), "recorded_at"),
        names=sources.to_list() if sources.len() < _FEW_SOURCES else None,
    )
