"""Six questions about the whole library, answered from the kept verdicts of all its timelapses.

The last verification alone is not enough: what was bad in another timelapse stays bad until that one is verified again.
A timelapse on the disk that was never verified fails every question, as its state is unknown. One whose verification
lies in the future, because a clock ran ahead, counts as never verified. Retired timelapses are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import polars as pl

from thumb_pipeline.datasets.schemas import WHOLE_LIBRARY
from thumb_pipeline.domain.clocks import SLACK
from thumb_pipeline.domain.findings import VariantState
from thumb_pipeline.domain.quantities import counted, human_seconds
from thumb_pipeline.stages.inventory.listing import discover
from thumb_pipeline.stages.library.library import Library

_SHOWN_TIMELAPSES = 20


class Question(StrEnum):
    """The questions; their values are the names of the checks."""

    COMPLETE = "complete"
    CURRENT = "current"
    INTACT = "intact"
    NO_ORPHANS = "no_orphans"
    FAILURE_RATE = "failure_rate"
    FRESHNESS = "freshness"


COUNTED = {
    Question.COMPLETE: {"missing": "generate", "vanished": "generate"},
    Question.CURRENT: {"stale_source": "generate", "stale_spec": "generate", "unrecorded": "repair --apply"},
    Question.INTACT: {"corrupt": "generate", "bit_rot": ""},
    Question.NO_ORPHANS: {"orphan": "sweep"},
    Question.FAILURE_RATE: {"failed": "generate --retry-failed"},
    Question.FRESHNESS: {"late": "generate"},
}
"""For each question, the columns of `Kept.timelapses` that count against it, each with the command that puts it right.

No command repairs bit rot.
"""

_WORDS = {
    "missing": ("variant", "missing"),
    "vanished": ("source", "gone"),
    "stale_source": ("variant", "of a source that changed since"),
    "stale_spec": ("variant", "by another recipe"),
    "unrecorded": ("variant", "without a record"),
    "corrupt": ("variant", "corrupt"),
    "bit_rot": ("source", "with other bytes than before"),
    "orphan": ("file", "that nothing expects"),
}
"""By column, the noun that is counted and what is wrong with it."""

_RIGHT = {
    Question.COMPLETE: "nothing is missing",
    Question.CURRENT: "nothing is stale, all is recorded",
    Question.INTACT: "nothing is corrupt",
    Question.NO_ORPHANS: "every file is expected",
    Question.FRESHNESS: "no capture waits",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is known of all timelapses.

    Attributes:
        timelapses: one row for each timelapse that was verified and is still there: timelapse, required, the states,
            vanished, bit_rot, oldest_without_at, verified_at.
        unverified: keys of those that were never verified, or whose verification lies in the future.
    """

    timelapses: pl.DataFrame
    unverified: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to one question.

    Attributes:
        sentence: the answer in words.
        numbers: the numbers behind it, by name.
        worst: the timelapses with the most findings, worst first; those never verified at the end.
        remedies: command lines without the program's name.
    """

    question: Question
    passed: bool
    sentence: str
    numbers: dict[str, int | float]
    worst: pl.DataFrame
    remedies: list[str]


def read_verdicts(library: Library) -> Kept:
    """Reads what verifications found, without the timelapses of which nothing is left.

    Raises:
        ArchiveUnavailable: a folder cannot be listed.
    """
    discovery = discover(library)
    present = {*discovery.keys, *discovery.vanished, *discovery.stray}
    states = ["required", *(state.value for state in VariantState)]
    counts = (
        library.verdicts.read([WHOLE_LIBRARY])
        .group_by("timelapse")
        .agg(pl.col(states).sum(), pl.col("oldest_without_at").min())
    )
    is_believed = pl.col("verified_at") <= datetime.now(UTC) + SLACK
    rows = library.verified.read([WHOLE_LIBRARY]).filter(pl.col("timelapse").is_in(present) & is_believed)
    timelapses = rows.select("timelapse", "vanished", "bit_rot", "verified_at").join(counts, on="timelapse", how="left")
    return Kept(
        timelapses=timelapses.with_columns(pl.col(states).fill_null(0)),
        unverified=sorted(present - {*rows["timelapse"]}),
    )


def answer(library: Library, known: Kept, now: datetime) -> list[Answer]:
    """The answer to every question, in the order of `Question`."""
    limits = library.settings.checks
    waits_h = (pl.lit(now) - pl.col("oldest_without_at")).dt.total_seconds() / 3600
    rows = known.timelapses.with_columns(waits_h=waits_h.clip(0).round(1)).with_columns(
        late=(pl.col("waits_h") > limits.max_wait_h).fill_null(False).cast(pl.Int64)
    )
    required, failed = int(rows["required"].sum()), int(rows["failed"].sum())
    ratio = round(failed / required, 6) if required else 0.0
    oldest_h = float(rows["waits_h"].max() or 0.0)  # type: ignore[arg-type]  # of floats
    measured: dict[Question, dict[str, int | float]] = {
        Question.FAILURE_RATE: {"failed_ratio": ratio, "max_failed_ratio": limits.max_failed_ratio},
        Question.FRESHNESS: {"oldest_waits_h": oldest_h, "max_wait_h": limits.max_wait_h},
    }
    tolerated = {Question.FAILURE_RATE: ratio <= limits.max_failed_ratio}
    return [
        _answer(question, rows, known.unverified, measured.get(question, {}), tolerated.get(question, False))
        for question in Question
    ]


def _answer(
    question: Question,
    rows: pl.DataFrame,
    unverified: Sequence[str],
    measured: dict[str, int | float],
    is_tolerated: bool,
) -> Answer:
    columns = list(COUNTED[question])
    counts = {name: int(rows[name].sum()) for name in columns}
    bad = rows.filter(pl.sum_horizontal(columns) > 0)
    is_right = is_tolerated or bad.is_empty()
    never = f"; {counted(len(unverified), 'timelapse')} never verified" if unverified else ""
    return Answer(
        question=question,
        passed=is_right and not unverified,
        sentence=_sentence(question, counts, bad, rows, measured) + never,
        numbers={
            **counts,
            **measured,
            "required": int(rows["required"].sum()),
            "timelapses": rows.height + len(unverified),
            "timelapses_with_findings": bad.height,
            "timelapses_never_verified": len(unverified),
        },
        worst=_worst(question, bad, columns, unverified),
        remedies=_remedies(question, bad, is_right, unverified),
    )


def _sentence(
    question: Question, counts: dict[str, int], bad: pl.DataFrame, rows: pl.DataFrame, measured: dict[str, int | float]
) -> str:
    of_all = f"of {counted(rows.height, 'timelapse')}"
    if question is Question.FRESHNESS and measured["oldest_waits_h"]:
        waits = human_seconds(3600 * measured["oldest_waits_h"])
        late = f"in {bad.height:,} {of_all} one waits longer than {measured['max_wait_h']:g} h"
        return f"the oldest capture without its variants waits {waits}; {late}"
    if question is Question.FAILURE_RATE:
        of_variants = f"{counts['failed']:,} of {counted(int(rows['required'].sum()), 'variant')} failed"
        return f"{of_variants} ({measured['failed_ratio']:.2%}; at most {measured['max_failed_ratio']:.2%})"
    if bad.is_empty():
        n_variants = counted(int(rows["required"].sum()), "variant")
        return f"{_RIGHT[question]}: {n_variants} in {counted(rows.height, 'timelapse')}"
    found = ", ".join(f"{counted(n, _WORDS[name][0])} {_WORDS[name][1]}" for name, n in counts.items() if n)
    return f"{found}, in {bad.height:,} {of_all}"


def _worst(question: Question, bad: pl.DataFrame, columns: list[str], unverified: Sequence[str]) -> pl.DataFrame:
    shown = ["waits_h"] if question is Question.FRESHNESS else columns
    worst = (
        bad.sort(pl.sum_horizontal(shown), pl.col("timelapse"), descending=[True, False])
        .select("timelapse", *shown, "required", "verified_at")
        .head(_SHOWN_TIMELAPSES)
    )
    never = pl.DataFrame({"timelapse": unverified}, schema={"timelapse": pl.String})
    return pl.concat([worst, never], how="diagonal").head(_SHOWN_TIMELAPSES)


def _remedies(question: Question, bad: pl.DataFrame, is_right: bool, unverified: Sequence[str]) -> list[str]:
    """One command line for each thing to do; it names the timelapse if there is only one."""
    todo: dict[str, list[str]] = {}
    for column, command in COUNTED[question].items():
        keys = bad.filter(pl.col(column) > 0)["timelapse"].to_list()
        if keys and command and not is_right:
            todo[command] = sorted({*todo.get(command, []), *keys})
    if unverified:
        todo["verify"] = list(unverified)
    return [f"{command} --timelapse {keys[0]}" if len(keys) == 1 else command for command, keys in todo.items()]
