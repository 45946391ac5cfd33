"""`thumb-pipeline verify`: compares every variant with what should be there, and says what to do about the rest.

Counting is done in `stages.verify`; this is the words.
"""

from typing import Annotated

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
from thumb_pipeline.domain.layout import FRAMES_FOLDER
from thumb_pipeline.stages import verdicts
from thumb_pipeline.stages.library import Library
from thumb_pipeline.stages.verify import verified_timelapses
from thumb_pipeline.stages.verify import verify as verify_timelapses

_SHOWN_TIMELAPSES = 20
_SHOWN_FILES = 20
_REMEDIES = (
    ((VariantState.MISSING, VariantState.CORRUPT, VariantState.STALE_SOURCE, VariantState.STALE_SPEC), "generate"),
    ((VariantState.FAILED,), "generate --retry-failed"),
    ((VariantState.UNRECORDED,), "repair --apply"),
    ((VariantState.ORPHAN,), "sweep"),
)
"""Which command puts which states right."""


def verify(
    library: LibraryOption = None,
    timelapse: TimelapsesOption = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Open every variant and read every source, to their last byte.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Compare every variant with what should be there; read-only."""
    opened = chosen_library(library)
    counts, timelapses = _verified(opened, timelapse or [], deep=deep)
    if json:
        print_json(_document(counts, timelapses))
    else:
        _print(opened, counts, timelapses)
    if _is_wrong(counts, timelapses):
        raise typer.Exit(ExitCode.INCOMPLETE)


def _verified(library: Library, chosen: list[str], *, deep: bool) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Verdicts and timelapses of the chosen part, which are kept as well."""
    keys = verified_timelapses(library, chosen)
    counts, timelapses = [library.verdicts.schema.empty()], [library.verified.schema.empty()]
    n_told = 0
    with library.lease() as lease, gauge("opening" if deep else "examining") as progress:
        for part in verify_timelapses(library, keys, lease, deep=deep, on_progress=progress.show):
            verdicts.keep(library, part)
            counts.append(part.verdicts)
            timelapses.append(part.timelapses)
            n_told = _tell_of_files(part.proven.wrong, n_told)
            for lost in part.survey.shrunken:
                say(
                    f"{lost.timelapse}: {lost.n_found} of {lost.n_known} sources are left; if that is not meant, "
                    "check that its disk is mounted"
                )
    return pl.concat(counts), pl.concat(timelapses)


def _tell_of_files(wrong: pl.DataFrame, n_told: int) -> int:
    """Names the files that were opened and found wrong, the first of them; returns how many there were so far."""
    for row in wrong.head(max(0, _SHOWN_FILES - n_told)).iter_rows(named=True):
        place = row["variant_path"] or f"{FRAMES_FOLDER}/{row['source_name']}"
        say(f"{row['timelapse']}/{place}: {row['state']}: {row['detail']}")
    if n_told <= _SHOWN_FILES < n_told + wrong.height:
        say("… and more such files; the table datasets/findings in the state folder has them all")
    return n_told + wrong.height


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
            "unreadable_sources": row["unreadable"],
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
    sources = ["vanished", "bit_rot", "unreadable"]
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
    for row in timelapses.filter((pl.col("bit_rot") + pl.col("unreadable")) > 0).iter_rows(named=True):
        _print_damaged_sources(row["timelapse"], row["bit_rot"], row["unreadable"])
    typer.echo(f"{counted(int(timelapses['sources'].sum()), 'source')}: {_sentence(library, counts)}")


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
