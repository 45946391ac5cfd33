"""`thumb-pipeline cancel`: stops runs and backfills."""

from typing import Annotated

import typer

from thumb_pipeline.cli.console import (
    ExitCode,
    JsonOption,
    LibraryOption,
    open_in_force_library,
    print_json,
    say,
    say_trouble,
)
from thumb_pipeline.cli.dagster import runs
from thumb_pipeline.cli.dagster.instance import settle_run_database
from thumb_pipeline.cli.selection import AllOption
from thumb_pipeline.domain.quantities import counted
from thumb_pipeline.stages.library.refused import Refused

_NOTHING = "nothing runs and nothing waits"


def cancel(
    run_id: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN_ID]…", help="Ids of runs or backfills, as status shows them.")
    ] = None,
    everything: AllOption = False,
    library: LibraryOption = None,
    json: JsonOption = False,
) -> None:
    """Stop runs and backfills; what they finished is kept."""
    opened = open_in_force_library(library)
    say_trouble(opened)
    if bool(run_id) == everything:
        raise Refused("say which run or backfill: its id as status shows it, or --all, and not both")
    settle_run_database(opened)
    with runs.instance_of(opened) as instance:
        live = runs.unfinished_runs(opened, instance)
        for each in run_id or ():
            runs.refuse_unstoppable(instance, each)
        if not run_id:
            run_id = [*(each.backfill_id for each in runs.live_backfills(instance)), *(each.run_id for each in live)]
        backfills = [each for each in run_id if runs.stop_backfill(instance, each)]
        chosen = [each for each in run_id if each not in backfills]
        chosen += [each for one in backfills for each in runs.runs_of(instance, one) if each not in chosen]
        still_running = runs.cancel(opened, instance, chosen)
    _print_cancelled(chosen, still_running, backfills, json=json)
    if any(run.is_for_captures for run in live if run.run_id in chosen):
        say("up starts another run for new captures; to stop it, switch new_captures_sensor off in the UI (Automation)")
    if still_running:
        say(f"still stopping: {', '.join(still_running)}; look again with status")
        raise typer.Exit(ExitCode.INCOMPLETE)


def _print_cancelled(chosen: list[str], still_running: list[str], backfills: list[str], *, json: bool) -> None:
    cancelled = [each for each in chosen if each not in still_running]
    if json:
        print_json({"cancelled": cancelled, "left": still_running, "backfills": backfills})
    elif backfills:
        typer.echo(f"{counted(len(backfills), 'backfill')} and {counted(len(cancelled), 'run')} cancelled")
    elif chosen:
        typer.echo(f"{counted(len(cancelled), 'run')} cancelled")
    else:
        typer.echo(_NOTHING)
