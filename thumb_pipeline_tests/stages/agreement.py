"""Holds a verification against what the naive checker says of the same library: everything either of them tells."""

from typing import Any

import polars as pl

from thumb_pipeline.domain.findings import VariantState
from thumb_pipeline.stages.verification.verify import VerifiedPart
from thumb_pipeline_tests.stages.naive_checker import Checked


def assert_agreement(part: VerifiedPart | None, checked: Checked) -> None:
    """Fails with what the two do not agree on: reported, then right."""
    told, right = reported(part), said(checked)
    differing = [what for what in told if told[what] != right[what]]
    assert not differing, "\n".join(f"{what}: reported {told[what]}\nright: {right[what]}" for what in differing)


def reported(part: VerifiedPart | None) -> dict[str, Any]:
    """A verification, in the words of `said`."""
    if part is None:
        return said(Checked())
    rows = part.findings.filter(pl.col("state").is_in([state.value for state in VariantState if state != "orphan"]))
    orphans = part.orphans.files.select(
        "timelapse", "variant_path", "kind", "variant", "source_name", "evidence", "n_bytes"
    )
    timelapses = part.timelapses.select("timelapse", "sources", "n_files", "n_bytes")
    verdicts = part.verdicts.to_dicts()
    words = [state.value for state in VariantState]
    counts = {(row["timelapse"], row["variant"], word): row[word] for row in verdicts for word in words}
    return {
        "not valid": {row[:3]: row[3] for row in rows.select("timelapse", "source_name", "variant", "state").rows()},
        "orphans": {row[:2]: row[2:] for row in orphans.rows()},
        "vanished": set(part.survey.vanished.rows()),
        "replaced": set(part.survey.replaced.rows()),
        "adoptable": set(part.adoptable.select("timelapse", "source_name", "variant").rows()),
        "counts": {who: n for who, n in counts.items() if n},
        "recorded": {(row["timelapse"], row["variant"]): row["recorded"] for row in verdicts if row["recorded"]},
        "found": {(row["timelapse"], row["variant"]): row["found"] for row in verdicts if row["found"]},
        "timelapses": {row[0]: row[1:] for row in timelapses.rows()},
    }


def said(checked: Checked) -> dict[str, Any]:
    """What the naive checker says, in comparable form."""
    counts: dict[tuple[str, str, str], int] = {}
    for (key, _, variant), word in checked.states.items():
        counts[key, variant, word] = counts.get((key, variant, word), 0) + 1
    for (key, _), (_, variant, *_) in checked.orphans.items():
        counts[key, variant, "orphan"] = counts.get((key, variant, "orphan"), 0) + 1
    return {
        "not valid": {who: word for who, word in checked.states.items() if word != "valid"},
        "orphans": checked.orphans,
        "vanished": checked.vanished,
        "replaced": checked.replaced,
        "adoptable": {who for who, word in checked.states.items() if word == "unrecorded"},
        "counts": counts,
        "recorded": {who: n for who, n in checked.recorded.items() if n},
        "found": {who: n for who, n in checked.found.items() if n},
        "timelapses": {key: (n, *checked.files[key]) for key, n in checked.n_sources.items()},
    }
