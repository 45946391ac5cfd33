"""`thumb-pipeline purge`: removes the chosen variants and their records, all by default; asks first."""

from typing import Annotated

import typer

from thumb_pipeline.cli.commands import removal
from thumb_pipeline.cli.console import JsonOption, LibraryOption, confirm, open_chosen_library
from thumb_pipeline.cli.selection import TimelapsesOption, VariantsOption
from thumb_pipeline.domain.quantities import counted, human_bytes
from thumb_pipeline.domain.removals import Operation
from thumb_pipeline.stages.removal.planned import RemovalWish
from thumb_pipeline.stages.removal.run import plan_removal

YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask; needed where there is no terminal.")]


def purge(
    library: LibraryOption = None,
    timelapse: TimelapsesOption = None,
    variant: VariantsOption = None,
    apply: removal.ApplyOption = False,
    yes: YesOption = False,
    force: removal.OverruleOption = False,
    no_trash: removal.NoTrashOption = False,
    json: JsonOption = False,
) -> None:
    """Remove all variants and their records, into a trash."""
    opened = open_chosen_library(library)
    wish = RemovalWish(
        timelapses=tuple(timelapse or ()), variants=tuple(variant or ()), force=force, use_trash=not no_trash
    )
    planned = plan_removal(opened, Operation.PURGE, wish)
    if not apply:
        removal.show_dry_run(opened, planned, json=json)
        return
    planned.refuse_objections()
    if not json:
        removal.show(opened, planned)
    if not yes and not planned.files.is_empty():
        confirm(f"remove {counted(planned.files.height, 'variant file')} ({human_bytes(planned.n_bytes)})")
    with opened.lease() as lease:
        removal.carry_out_and_say(opened, planned, lease, json=json)
