"""The options by which `plan` and `generate` choose what to do; they mean the same in both."""

from typing import Annotated

import typer

from thumb_pipeline.cli.console import source_text
from thumb_pipeline.stages.inventory.selection import Selection

TimelapsesOption = Annotated[
    list[str] | None,
    typer.Option("--timelapse", metavar="KEY", help="Only this one, as camera-1/timelapse-2; repeatable."),
]
AllOption = Annotated[bool, typer.Option("--all", help="Everything.")]
SourcesOption = Annotated[
    list[str] | None,
    typer.Option("--source", metavar="NAME", help="Only this file of frames/; the folder is not listed; repeatable."),
]
VariantsOption = Annotated[
    list[str] | None, typer.Option("--variant", metavar="NAME", help="Only this variant; repeatable.")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Render again what is right already.")]
RetryFailedOption = Annotated[
    bool, typer.Option("--retry-failed", help="Try refused sources again although nothing changed.")
]
TrustExistingOption = Annotated[
    bool, typer.Option("--trust-existing", help="Adopt another program's variants that decode and fit their box.")
]
AcceptShrinkOption = Annotated[
    bool, typer.Option("--accept-shrink", help="Believe that sources are gone; check first that the disk is mounted.")
]


def selection_of(
    timelapses: list[str] | None,
    sources: list[str] | None,
    variants: list[str] | None,
    force: bool,
    retry_failed: bool,
    trust_existing: bool,
    accept_shrink: bool,
) -> Selection:
    """The selection that the options describe."""
    return Selection(
        timelapses=tuple(timelapses or ()),
        sources=tuple(source_text(name) for name in sources or ()),
        variants=tuple(variants or ()),
        force=force,
        retry_failed=retry_failed,
        trust_existing=trust_existing,
        accept_shrink=accept_shrink,
    )
