"""`thumb-pipeline verify`: compares every variant with what should be there, and says what to do about the rest.

`stages.verification.verify` counts; `stages.verification.words` makes the sentences.
"""

from typing import Annotated

import polars as pl
import typer

from thumb_pipeline.cli.console import (
    ExitCode,
    JsonOption,
    LibraryOption,
    command_line,
    gauge,
    open_chosen_library,
    print_json,
    say,
)
from thumb_pipeline.cli.selection import TimelapsesOption
from thumb_pipeline.domain.layout import FRAMES_FOLDER
from thumb_pipeline.domain.quantities import counted
from thumb_pipeline.stages.inventory.selection import find_timelapses
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.verification import verdicts, words
from thumb_pipeline.stages.verification.verify import verify as verify_timelapses

_SHOWN_TIMELAPSES = 20
_SHOWN_FILES = 20


def verify(
    library: LibraryOption = None,
    timelapse: TimelapsesOption = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Open every variant and read every source, to their last byte.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Compare every variant with what should be there; read-only."""
    opened = open_chosen_library(library)
    counts, timelapses, shrunken = _run_verification(opened, timelapse or [], deep=deep)
    if json:
        print_json(_document(counts, timelapses, list(opened.settings.specs)))
    else:
        _print(opened, counts, timelapses, shrunken)
    if words.is_wrong(counts, timelapses):
        raise typer.Exit(ExitCode.INCOMPLETE)


def _run_verification(
    library: Library, chosen: list[str], *, deep: bool
) -> tuple[pl.DataFrame, pl.DataFrame, set[str]]:
    """Verifies and records the chosen part; returns verdicts, timelapses, and the keys that lost too many sources."""
    keys = find_timelapses(library, chosen)
    counts, timelapses = [library.verdicts.schema.empty()], [library.verified.schema.empty()]
    n_printed, shrunken = 0, set[str]()
    with library.lease() as lease, gauge("opening" if deep else "examining") as progress:
        for part in verify_timelapses(library, keys, lease, deep=deep, on_progress=progress.show):
            verdicts.keep(library, part)
            counts.append(part.verdicts)
            timelapses.append(part.timelapses)
            n_printed = _print_wrong_files(part.proven.wrong, n_printed)
            for lost in part.survey.shrunken:
                shrunken.add(lost.timelapse)
                say(
                    f"{lost.timelapse}: {lost.n_found} of {lost.n_known} sources are left; if that is not meant, "
                    "check that its disk is mounted"
                )
    return pl.concat(counts), pl.concat(timelapses), shrunken


def _print_wrong_files(wrong: pl.DataFrame, n_printed: int) -> int:
    """Prints the first files that were opened and found wrong; returns how many there were so far."""
    for row in wrong.head(max(0, _SHOWN_FILES - n_printed)).iter_rows(named=True):
        place = row["variant_path"] or f"{FRAMES_FOLDER}/{row['source_name']}"
        say(f"{row['timelapse']}/{place}: {row['state']}: {row['detail']}")
    if n_printed <= _SHOWN_FILES < n_printed + wrong.height:
        say("… and more such files; the table datasets/findings in the state folder has them all")
    return n_printed + wrong.height


def _document(counts: pl.DataFrame, timelapses: pl.DataFrame, variants: list[str]) -> dict[str, object]:
    by_timelapse = {}
    for row in timelapses.iter_rows(named=True):
        mine = counts.filter(pl.col("timelapse") == row["timelapse"])
        by_timelapse[row["timelapse"]] = {
            "sources": row["sources"],
            **words.states(mine),
            "vanished_sources": row["vanished"],
            "replaced_sources": row["replaced"],
            "bit_rot_sources": row["bit_rot"],
            "unreadable_sources": row["unreadable"],
            **{f"{name}_count": {"recorded": 0, "found": 0} for name in variants},
            **{
                f"{count['variant']}_count": {"recorded": count["recorded"], "found": count["found"]}
                for count in mine.filter(pl.col("variant") != "").iter_rows(named=True)
            },
        }
    return {"sources": int(timelapses["sources"].sum()), **words.states(counts), "by_timelapse": by_timelapse}


def _print(library: Library, counts: pl.DataFrame, timelapses: pl.DataFrame, shrunken: set[str]) -> None:
    bad = counts.filter(pl.sum_horizontal(words.WRONG_STATES) > 0)
    keys = bad["timelapse"].unique().sort().to_list()
    for key in keys[:_SHOWN_TIMELAPSES]:
        mine = counts.filter(pl.col("timelapse") == key)
        typer.echo(f"{key}: {words.sentence(mine, library.settings.specs)}")
        for command in words.remedies(mine) if key not in shrunken else ():
            say(f"  to put that right: {command_line(*command.split(), '--timelapse', key)}")
    if len(keys) > _SHOWN_TIMELAPSES:
        say(f"… and {len(keys) - _SHOWN_TIMELAPSES} more timelapses; --json has them all")
    for row in timelapses.filter((pl.col("bit_rot") + pl.col("unreadable")) > 0).iter_rows(named=True):
        _print_damaged_sources(row["timelapse"], row["bit_rot"], row["unreadable"])
    for key, n_gone in timelapses.filter(pl.col("vanished") > 0).select("timelapse", "vanished").iter_rows():
        typer.echo(f"{key}: {counted(n_gone, 'recorded source')} gone")
        accept = ["--accept-shrink"] if key in shrunken else []
        say(f"  if that is meant: {command_line('generate', '--timelapse', key, *accept)} takes note of it")
    in_words = words.sentence(counts, library.settings.specs)
    typer.echo(f"{counted(int(timelapses['sources'].sum()), 'source')}: {in_words}")


def _print_damaged_sources(key: str, n_rotten: int, n_unreadable: int) -> None:
    if n_rotten:
        typer.echo(f"{key}: {counted(n_rotten, 'source')} with other bytes than before, at the same size and mtime")
        say(
            "  to put that right: restore the frame from a backup, as its variants still are those of the good bytes; "
            "if the new bytes are meant, give the file a new mtime (touch), then generate"
        )
    if n_unreadable:
        typer.echo(f"{key}: {counted(n_unreadable, 'source')} that cannot be read")
        say(
            "  to put that right: check the disk and the permissions, and restore the frame from a backup if it is lost"
        )
