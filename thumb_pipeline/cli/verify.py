"""`thumb-pipeline verify`: compares every variant with what should be there, and says what to do about the rest.

Counting is done in `stages.verify`; this is the words.
"""

import polars as pl
import typer

from thumb_pipeline.cli.console import (
    ExitCode,
    JsonOption,
    LibraryOption,
    chosen_library,
    command_line,
    counted,
    gauge,
    print_json,
    say,
)
from thumb_pipeline.cli.selection import TimelapsesOption
from thumb_pipeline.domain.findings import VariantState
from thumb_pipeline.stages import verdicts
from thumb_pipeline.stages.library import Library
from thumb_pipeline.stages.verify import verified_timelapses
from thumb_pipeline.stages.verify import verify as verify_timelapses

_SHOWN_TIMELAPSES = 20
_REMEDIES = (
    ((VariantState.UNRECORDED, VariantState.ORPHAN), "repair --apply"),  # first: it spares rendering
    ((VariantState.MISSING, VariantState.CORRUPT, VariantState.STALE_SOURCE, VariantState.STALE_SPEC), "generate"),
    ((VariantState.FAILED,), "generate --retry-failed"),
    ((VariantState.ORPHAN,), "sweep"),
)
"""Which command puts which states right."""


def verify(
    library: LibraryOption = None,
    timelapse: TimelapsesOption = None,
    json: JsonOption = False,
) -> None:
    """Compare every variant with what should be there; read-only."""
    opened = chosen_library(library)
    counts, timelapses = _verified(opened, timelapse or [])
    if json:
        print_json(_document(counts, timelapses))
    else:
        _print(opened, counts, timelapses)
    if _is_wrong(counts, timelapses):
        raise typer.Exit(ExitCode.INCOMPLETE)


def _verified(library: Library, chosen: list[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Verdicts and timelapses of the chosen part, which are kept as well."""
    keys = verified_timelapses(library, chosen)
    counts, timelapses = [library.verdicts.schema.empty()], [library.verified.schema.empty()]
    with library.lease() as lease, gauge("examining") as progress:
        for part in verify_timelapses(library, keys, lease, on_progress=progress.show):
            verdicts.keep(library, part)
            counts.append(part.verdicts)
            timelapses.append(part.timelapses)
            for lost in part.survey.shrunken:
                say(
                    f"{lost.timelapse}: {lost.n_found} of {lost.n_known} sources are left; if that is not meant, "
                    "check that its disk is mounted"
                )
    return pl.concat(counts), pl.concat(timelapses)


def _document(counts: pl.DataFrame, timelapses: pl.DataFrame) -> dict[str, object]:
    by_timelapse = {}
    for row in timelapses.iter_rows(named=True):
        mine = counts.filter(pl.col("timelapse") == row["timelapse"])
        by_timelapse[row["timelapse"]] = {
            "sources": row["sources"],
            **_states(mine),
            "vanished_sources": row["vanished"],
            "replaced_sources": row["replaced"],
            "bit_rot_sources": row["bit_rot"],
            **{
                f"{found['variant']}_count": {"recorded": found["recorded"], "found": found["found"]}
                for found in mine.filter(pl.col("variant") != "").iter_rows(named=True)
            },
        }
    return {"sources": int(timelapses["sources"].sum()), **_states(counts), "by_timelapse": by_timelapse}


def _states(counts: pl.DataFrame) -> dict[str, int]:
    return {state.value: int(counts[state.value].sum()) for state in reversed(VariantState)}


def _is_wrong(counts: pl.DataFrame, timelapses: pl.DataFrame) -> bool:
    wrong = [state.value for state in VariantState if state.is_wrong]
    sources = ["vanished", "bit_rot"]
    return bool(
        counts.select(pl.sum_horizontal(wrong).sum()).item() or timelapses.select(sources).sum().sum_horizontal().item()
    )


def _print(library: Library, counts: pl.DataFrame, timelapses: pl.DataFrame) -> None:
    bad = counts.filter(pl.sum_horizontal(state.value for state in VariantState if state.is_wrong) > 0)
    keys = bad["timelapse"].unique().sort().to_list()
    for key in keys[:_SHOWN_TIMELAPSES]:
        mine = counts.filter(pl.col("timelapse") == key)
        typer.echo(f"{key}: {_sentence(library, mine)}")
        for states, command in _REMEDIES:
            if any(mine[state.value].sum() for state in states):
                say(f"  to put that right: {command_line(*command.split(), '--timelapse', key)}")
    if len(keys) > _SHOWN_TIMELAPSES:
        say(f"… and {len(keys) - _SHOWN_TIMELAPSES} more timelapses; --json has them all")
    typer.echo(f"{counted(int(timelapses['sources'].sum()), 'source')}: {_sentence(library, counts)}")


def _sentence(library: Library, counts: pl.DataFrame) -> str:
    """Such as `47/50 thumbnails valid, 3 missing; 50/50 smalls valid`."""
    parts = []
    for name in [*library.settings.specs, ""]:
        mine = counts.filter(pl.col("variant") == name)
        if mine.is_empty() and name == "":
            continue
        wrong = [
            f"{n:,} {state.value}"
            for state in VariantState
            if state is not VariantState.VALID and (n := int(mine[state.value].sum()))
        ]
        valid = (
            f"{int(mine['valid'].sum()):,}/{int(mine['required'].sum()):,} {name}s valid" if name else "other files:"
        )
        parts.append(", ".join([valid, *wrong]))
    return "; ".join(parts)
