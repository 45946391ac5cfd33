"""`thumb-pipeline sweep`: removes files that nothing expects, into a trash; a dry run unless --apply is given."""

from typing import Annotated

import typer

from thumb_pipeline.cli.commands import removal
from thumb_pipeline.cli.console import JsonOption, LibraryOption, open_chosen_library
from thumb_pipeline.cli.selection import TimelapsesOption
from thumb_pipeline.domain.removals import Operation
from thumb_pipeline.stages.removal.planned import RemovalWish
from thumb_pipeline.stages.removal.run import plan_removal


def sweep(
    library: LibraryOption = None,
    timelapse: TimelapsesOption = None,
    apply: removal.ApplyOption = False,
    force: removal.OverruleOption = False,
    no_trash: removal.NoTrashOption = False,
    policy: Annotated[
        bool, typer.Option("--policy", help="Also variants that a change of policy made superfluous.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Remove files that nothing expects, into a trash."""
    opened = open_chosen_library(library)
    wish = RemovalWish(timelapses=tuple(timelapse or ()), force=force, use_trash=not no_trash, by_policy=policy)
    planned = plan_removal(opened, Operation.SWEEP, wish)
    if not apply:
        removal.show_dry_run(opened, planned, json=json)
        return
    planned.refuse_objections()
    if not json:
        removal.show(opened, planned)
    with opened.lease() as lease:
        removal.carry_out_and_say(opened, planned, lease, json=json)
