"""`thumb-pipeline restore`: undoes a sweep or a purge as a whole."""

from typing import Annotated

import typer

from thumb_pipeline.cli.commands.removal import output_of, say_what_was_kept
from thumb_pipeline.cli.console import (
    ExitCode,
    JsonOption,
    LibraryOption,
    command_line,
    open_chosen_library,
    print_json,
)
from thumb_pipeline.cli.dagster import runs
from thumb_pipeline.domain.quantities import counted, human_bytes
from thumb_pipeline.stages.removal.restore import in_trash

RunArgument = Annotated[str, typer.Argument(metavar="RUN_ID", help="The run of the sweep or purge, as trash lists it.")]


def restore(run_id: RunArgument, library: LibraryOption = None, json: JsonOption = False) -> None:
    """Bring back what a sweep or purge removed."""
    opened = open_chosen_library(library)
    in_trash(opened, run_id)  # refuses before Dagster is started

    with opened.lease() as lease:
        outcome = runs.carry_out_job(
            opened,
            "restore",
            runs.new_run_id(),
            lease,
            op="restore_removed",
            config={"run_id": run_id, "apply": True},
        )
    done = output_of(outcome, command_line("restore", run_id))
    kept_by_reason = done.pop("kept_by_reason")
    if json:
        print_json(done)
    else:
        size = human_bytes(done["n_bytes"])
        typer.echo(f"{counted(done['restored'], 'file')} restored ({size}), {done['kept']:,} kept")
    say_what_was_kept(kept_by_reason)
    if done["kept"]:
        raise typer.Exit(ExitCode.INCOMPLETE)
