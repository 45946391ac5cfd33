"""Keeps what verifications found, so that reports and checks can speak of all timelapses at once.

Finding it out is `verify`. A kept verdict is what was true when it was given; nothing is deleted on its word.
"""

import polars as pl

from thumb_pipeline.datasets.schemas import WHOLE_LIBRARY
from thumb_pipeline.datasets.slices import Table
from thumb_pipeline.stages import disproofs
from thumb_pipeline.stages.library import Library
from thumb_pipeline.stages.verify import VerifiedPart


def keep(library: Library, part: VerifiedPart) -> None:
    """Puts a verification in the place of the last one of its timelapses."""
    keys = part.timelapses["timelapse"].to_list()
    _replace(library.verdicts, WHOLE_LIBRARY, part.verdicts, keys)
    _replace(library.verified, WHOLE_LIBRARY, part.timelapses, keys)
    found = part.findings.partition_by("timelapse", as_dict=True)
    known = set(library.findings.keys())
    for key in keys:
        rows = found.get((key,), library.findings.schema.empty())
        if key in known or not rows.is_empty():
            _replace(library.findings, key, rows, [key])
    disproofs.remember(library, part.proven.wrong, part.outdated)
    remember_checked(library, part.checked)


def remember_checked(library: Library, checked: pl.DataFrame) -> None:
    """Notes which sources were opened with their variants (`CHECKED` columns)."""
    for (key,), rows in checked.partition_by("timelapse", as_dict=True).items():
        library.checked.merge(str(key), rows)


def _replace(table: Table, slice_key: str, rows: pl.DataFrame, keys: list[str]) -> None:
    """Merges rows, and takes out those of the same timelapses that are not among them."""
    identity = list(dict.fromkeys(("timelapse", *table.schema.key)))
    before = table.query([slice_key], lambda kept: kept.filter(pl.col("timelapse").is_in(keys)).select(identity))
    table.merge(slice_key, rows, removed=before.join(rows, on=identity, how="anti"))
