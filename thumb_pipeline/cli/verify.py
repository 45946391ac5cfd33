"""`thumb-pipeline verify`: compares every variant with what should be there, and says what to do about the rest.

Counting is done in `stages.verify`, the sentence is `stages.verdict_words`.
"""

import polars as pl
import typer

from thumb_pipeline.cli.console import (
    ExitCode,
    JsonOption,
    LibraryOption,
    chosen_library,
    command_line,
    gauge,
    print_json,
    say,
)
from thumb_pipeline.cli.selection import TimelapsesOption
from thumb_pipeline.domain.quantities import counted
from thumb_pipeline.stages import verdict_words, verdicts
from thumb_pipeline.stages.library import Library
from thumb_pipeline.stages.verify import verified_timelapses
from thumb_pipeline.stages.verify import verify as verify_timelapses

_SHOWN_TIMELAPSES = 20


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
    if verdict_words.is_wrong(counts, timelapses):
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
            **verdict_words.states(mine),
            "vanished_sources": row["vanished"],
            "replaced_sources": row["replaced"],
            "bit_rot_sources": row["bit_rot"],
            **{
                f"{found['variant']}_count": {"recorded": found["recorded"], "found": found["found"]}
                for found in mine.filter(pl.col("variant") != "").iter_rows(named=True)
            },
        }
    return {"sources": int(timelapses["sources"].sum()), **verdict_words.states(counts), "by_timelapse": by_timelapse}


def _print(library: Library, counts: pl.DataFrame, timelapses: pl.DataFrame) -> None:
    bad = counts.filter(pl.sum_horizontal(verdict_words.WRONG_STATES) > 0)
    keys = bad["timelapse"].unique().sort().to_list()
    for key in keys[:_SHOWN_TIMELAPSES]:
        mine = counts.filter(pl.col("timelapse") == key)
        typer.echo(f"{key}: {verdict_words.sentence(mine, library.settings.specs)}")
        for command in verdict_words.remedies(mine):
            say(f"  to put that right: {command_line(*command.split(), '--timelapse', key)}")
    if len(keys) > _SHOWN_TIMELAPSES:
        say(f"… and {len(keys) - _SHOWN_TIMELAPSES} more timelapses; --json has them all")
    in_words = verdict_words.sentence(counts, library.settings.specs)
    typer.echo(f"{counted(int(timelapses['sources'].sum()), 'source')}: {in_words}")
