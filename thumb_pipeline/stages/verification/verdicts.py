"""Keeps what verifications found, so that reports and checks can cover all timelapses at once.

`verify` does the verification. A kept verdict was true when it was given; nothing is deleted because of it.
"""

from collections.abc import Sequence

import polars as pl

from thumb_pipeline.datasets.rows import by_timelapse
from thumb_pipeline.datasets.schemas import REPORTED, WHOLE_LIBRARY
from thumb_pipeline.stages.examining import damage
from thumb_pipeline.stages.library.errors import REFUSALS
from thumb_pipeline.stages.library.library import Lease, Library
from thumb_pipeline.stages.verification.verify import VerifiedPart, verify

_NO_NEWS = ("found_at", "verified_at", "is_deep")
"""Columns that change with every verification, even when nothing else does."""


def keep(library: Library, part: VerifiedPart) -> None:
    """Replaces the last verification of these timelapses with this one."""
    keys = part.timelapses["timelapse"].to_list()
    library.verdicts.replace(WHOLE_LIBRARY, part.verdicts, keys)
    library.verified.replace(WHOLE_LIBRARY, part.timelapses, keys)
    findings = by_timelapse(part.findings)
    known = set(library.findings.keys())
    for key in keys:
        rows = findings.get(key, library.findings.schema.empty())
        if key in known or not rows.is_empty():
            library.findings.replace(key, rows, [key])
    damage.remember(library, part.proven.wrong, part.outdated)
    remember_checked(library, part.checked)


def remember_checked(library: Library, checked: pl.DataFrame) -> None:
    """Notes which sources were opened with their variants (`CHECKED` columns)."""
    for key, rows in by_timelapse(checked).items():
        library.checked.merge(key, rows)


def forget(library: Library, keys: Sequence[str]) -> None:
    """Removes what is kept of timelapses that no longer exist."""
    for table in (library.verdicts, library.verified, library.reported):
        table.replace(WHOLE_LIBRARY, table.schema.empty(), keys)
    for key in keys:
        library.findings.drop(key)


def find_unreported(library: Library, part: VerifiedPart) -> list[str]:
    """Timelapses whose verdict or findings differ from those that `mark_reported` noted last."""
    shown = library.reported.read([WHOLE_LIBRARY])
    news = _fingerprints(part).join(shown, on=list(REPORTED.columns), how="anti")
    return sorted(news["timelapse"])


def mark_reported(library: Library, part: VerifiedPart, keys: Sequence[str]) -> None:
    """Notes that the reports now show the verdict of these timelapses."""
    library.reported.merge(WHOLE_LIBRARY, _fingerprints(part).filter(pl.col("timelapse").is_in(list(keys))))


def _fingerprints(part: VerifiedPart) -> pl.DataFrame:
    """For each timelapse, a hash of everything that its reports would say (`REPORTED` columns)."""
    hashes = [
        rows.select("timelapse", verdict=pl.struct(pl.exclude(*_NO_NEWS)).hash(seed=number))
        for number, rows in enumerate((part.verdicts, part.timelapses, part.findings))
    ]
    return pl.concat(hashes).group_by("timelapse").agg(pl.col("verdict").bitwise_xor())


def renew_verdicts(library: Library, keys: Sequence[str], lease: Lease) -> bool:
    """Verifies timelapses again, so that the kept verdicts match what is there now; False if that failed."""
    try:
        for part in verify(library, keys, lease):
            keep(library, part)
    except REFUSALS:
        return False
    return True
