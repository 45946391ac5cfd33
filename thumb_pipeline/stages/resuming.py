"""What of a plan was done since a moment: work that was stopped goes on there, also where everything is made again.

Which moment that is, whoever resumes knows.
"""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

import polars as pl

from thumb_pipeline.stages.library import Library
from thumb_pipeline.stages.plan import Plan

_FEW_SOURCES = 1_000
_SAME = ["spec_fingerprint", "source_n_bytes", "source_mtime_ns"]


def undone(library: Library, rows: pl.DataFrame, since: datetime, *, until: datetime | None = None) -> pl.DataFrame:
    """The plan rows that have no record since then: of the same variant, from the same source, by the same recipe.

    With `until`, those that had none at that moment.
    """
    if rows.is_empty():
        return rows
    identity = ["timelapse", *library.manifest.schema.key, *_SAME]
    is_recent = pl.col("recorded_at") >= since
    if until is not None:
        is_recent &= pl.col("recorded_at") <= until
    sources = rows["source_name"].unique()
    done = library.manifest.query(
        rows["timelapse"].unique().to_list(),
        lambda recorded: recorded.filter(is_recent).select(identity),
        names=sources.to_list() if sources.len() < _FEW_SOURCES else None,
    )
    return rows.join(done, on=identity, how="anti", maintain_order="left")


def left_of(library: Library, plan: Plan, keys: Collection[str], since: datetime) -> Plan:
    """A plan without what was done since then in some timelapses."""
    is_resumed = pl.col("timelapse").is_in(list(keys))
    parts = [
        replace(
            part,
            rows=pl.concat([part.rows.filter(~is_resumed), undone(library, part.rows.filter(is_resumed), since)]),
        )
        for part in plan.parts
    ]
    return replace(plan, parts=parts)
