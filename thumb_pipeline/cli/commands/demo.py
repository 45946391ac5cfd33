"""`thumb-pipeline demo`: draws a small library, and runs the whole pipeline over it."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from thumb_pipeline.cli.commands.generate import generate_library
from thumb_pipeline.cli.commands.stats import print_coverage
from thumb_pipeline.cli.console import ExitCode, JsonOption, command_line, gauge, print_json, say
from thumb_pipeline.cli.dagster.instance import settle_run_database
from thumb_pipeline.domain.paths import under
from thumb_pipeline.stages.demo import make_demo_frames
from thumb_pipeline.stages.examining.contact_sheets import write_contact_sheet
from thumb_pipeline.stages.inventory.listing import discover
from thumb_pipeline.stages.inventory.selection import Selection
from thumb_pipeline.stages.library.open import initialise, open_library
from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline.stages.verification.statistics import measure

DEFAULT_FOLDER = ".demo-library"
_MARKER = "demo"
_STATE = ".thumb_pipeline"


def demo(
    directory: Annotated[
        str | None, typer.Argument(metavar="[DIR]", help=f"Where to make it; {DEFAULT_FOLDER} unless named.")
    ] = None,
    library: Annotated[str | None, typer.Option("--library", help="The same as DIR.")] = None,
    json: JsonOption = False,
) -> None:
    """Draw a small library and run the whole pipeline over it."""
    folder = directory or library or DEFAULT_FOLDER
    _make(folder, json=json)


def _make(folder: str, *, json: bool) -> None:
    root = Path(folder)
    _refuse_other_folder(root)
    initialise(folder)
    library = open_library(folder)
    library.claim_state()
    os.makedirs(library.state, exist_ok=True)
    (Path(library.state) / _MARKER).touch()
    settle_run_database(library)
    say(f"drawing two cameras, three timelapses in {folder} …")
    with library.lease() as lease, gauge("drawing") as progress:
        make_demo_frames(library, lease, on_progress=progress.show)
    say("running the pipeline (one frame is truncated on purpose) …")
    done, run_ids, stopped = generate_library(library, Selection())
    if stopped:
        say(f"thumb-pipeline: {stopped}")
        raise typer.Exit(ExitCode.STOPPED)
    with library.lease() as lease:
        sheet = write_contact_sheet(library, discover(library).keys, lease)
    if json:
        print_json({"library": library.root, **asdict(done), "run_ids": run_ids, "contact_sheet": sheet})
        return
    print_coverage(measure(library))
    typer.echo(
        f"{done.rendered:,} variants rendered and {done.unchanged + done.adopted:,} left as they were "
        f"in {done.duration_s:.1f} s; {done.failed} source failed: it is truncated"
    )
    if sheet:
        typer.echo(f"contact sheet: {under(folder, os.path.relpath(sheet, library.root))}")
    typer.echo(f"next, look at the runs in the browser: {command_line('up', '--library', folder)}")


def _refuse_other_folder(root: Path) -> None:
    """Refuses a folder that is no demo's: the demo writes frames, and never among somebody's pictures."""
    if not root.exists():
        return
    if not root.is_dir():
        raise Refused(f"{root} is a file; name a folder for the demo: {command_line('demo')} DIR")
    is_ours = (root / _STATE / _MARKER).exists()
    if not is_ours and {entry.name for entry in root.iterdir()} - {_STATE}:
        raise Refused(f"{root} is not empty and no demo; name another folder: {command_line('demo')} DIR")
