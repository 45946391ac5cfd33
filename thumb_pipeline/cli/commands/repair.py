"""`thumb-pipeline repair`: puts right what can be without rendering; a dry run unless --apply is given.

`stages.repair.repair` decides what is done. With --apply it runs as a job, so that the UI shows it.
"""

from dataclasses import replace
from typing import Annotated

import typer

from thumb_pipeline.cli.commands import removal
from thumb_pipeline.cli.console import (
    ExitCode,
    JsonOption,
    LibraryOption,
    command_line,
    complain,
    gauge,
    open_chosen_library,
    print_json,
    say,
)
from thumb_pipeline.cli.selection import AcceptShrinkOption, TimelapsesOption
from thumb_pipeline.domain.quantities import counted
from thumb_pipeline.domain.removals import Operation
from thumb_pipeline.stages.inventory.selection import find_timelapses
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.removal.planned import RemovalWish
from thumb_pipeline.stages.removal.run import plan_removal
from thumb_pipeline.stages.repair.repair import repair as repair_timelapses

_JSON_KEYS = (
    *("orphaned_files_found", "files_matched", "files_unmatched"),
    *("files_deleted", "records_updated", "timelapses_affected"),
)

ApplyOption = Annotated[bool, typer.Option("--apply", help="Do it; without this, only say what would be done.")]


def repair(
    library: LibraryOption = None,
    timelapse: TimelapsesOption = None,
    apply: ApplyOption = False,
    accept_shrink: AcceptShrinkOption = False,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Remove the unmatched files afterwards, into the trash.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="With --sweep: overrule its brakes.")] = False,
    json: JsonOption = False,
) -> None:
    """Move misplaced variants to their place, and correct the records."""
    opened, keys = open_chosen_library(library), timelapse or []
    done = _apply_repair(opened, keys, accept_shrink) if apply else _dry_run(opened, keys, accept_shrink)
    if sweep:
        done["files_deleted"] = _sweep_unmatched(opened, keys, accept_shrink, force=force, apply=apply)
    if json:
        print_json({name: done[name] for name in _JSON_KEYS})
    else:
        _print(done, keys, apply=apply, sweep=sweep)
    if _unmatched_left(done) or done["files_redundant"] or done["variants_for_generate"]:
        raise typer.Exit(ExitCode.INCOMPLETE)


def _dry_run(library: Library, chosen: list[str], accept_shrink: bool) -> dict[str, int]:
    keys = find_timelapses(library, chosen)
    with library.lease() as lease, gauge("examining") as progress:
        done = repair_timelapses(
            library, keys, lease, apply=False, accept_shrink=accept_shrink, on_progress=progress.show
        )
    return {**done.document(), **done.left()}


def _apply_repair(library: Library, chosen: list[str], accept_shrink: bool) -> dict[str, int]:
    from thumb_pipeline.cli.dagster import runs  # Dagster takes a second to load: only where there is work

    config = {"timelapses": chosen, "apply": True, "accept_shrink": accept_shrink}
    with library.lease() as lease:
        outcome = runs.carry_out_job(library, "repair", runs.new_run_id(), lease, op="repair_library", config=config)
    if outcome.stopped is not None:
        complain(outcome.stopped)
        raise typer.Exit(ExitCode.REFUSED if outcome.is_refused else ExitCode.STOPPED)
    done: dict[str, int] = outcome.output
    return done


def _sweep_unmatched(library: Library, chosen: list[str], accept_shrink: bool, *, force: bool, apply: bool) -> int:
    """Removes the unmatched files; returns how many went, or would go. A brake keeps them and is printed."""
    keys = find_timelapses(library, chosen)
    with library.lease() as lease:
        unmatched = repair_timelapses(library, keys, lease, apply=False, accept_shrink=accept_shrink).unmatched
        planned = plan_removal(library, Operation.SWEEP, RemovalWish(timelapses=tuple(chosen), force=force))
        planned = replace(planned, files=planned.files.join(unmatched, on=["timelapse", "variant_path"], how="semi"))
        if not apply:
            removal.say_dry_run(library, planned)
            return 0 if planned.is_refused else planned.files.height
        if planned.is_refused:
            say("\n".join((*planned.objections, "no file was removed")))
            return 0
        if planned.files.is_empty():
            return 0
        done = removal.run_removal(library, planned, lease)
    removal.say_what_was_kept(done["kept_by_reason"])
    removal.say_what_expired(done)
    say(f"{counted(done['removed'], 'file')} moved to the trash; to undo: {command_line('restore', done['run_id'])}")
    return int(done["removed"])


def _unmatched_left(done: dict[str, int]) -> int:
    return done["files_unmatched"] - done["files_deleted"]


def _print(done: dict[str, int], chosen: list[str], *, apply: bool, sweep: bool) -> None:
    is_done = "" if apply else "to be "
    typer.echo(
        f"{counted(done['orphaned_files_found'], 'file')} that nothing expects: {done['files_moved']:,} {is_done}moved "
        f"to their place, {done['files_redundant']:,} with their place taken, {done['files_unmatched']:,} unmatched; "
        f"{counted(done['records_updated'], 'record')} {is_done}updated, "
        f"{counted(done['timelapses_affected'], 'timelapse')} affected"
    )
    only = [argument for key in chosen for argument in ("--timelapse", key)]
    if not apply and (done["records_updated"] or done["files_deleted"]):
        wish = [*only, *(["--sweep"] if sweep else []), "--apply"]
        say(f"nothing was changed; to do it: {command_line('repair', *wish)}")
    if done["variants_for_generate"]:
        say(f"{counted(done['variants_for_generate'], 'variant')} still to be made: {command_line('generate', *only)}")
    if _unmatched_left(done) or done["files_redundant"]:
        say(f"the other files stay where they are; {command_line('verify', *only)} counts them as orphans")
