"""`thumb-pipeline plan`: says what `generate` would do, and changes nothing."""

import typer

from thumb_pipeline.cli.console import (
    JsonOption,
    LibraryOption,
    gauge,
    open_chosen_library,
    print_json,
    print_table,
    say,
    where_frames_go,
)
from thumb_pipeline.cli.selection import (
    AcceptShrinkOption,
    ForceOption,
    RetryFailedOption,
    SourcesOption,
    TimelapsesOption,
    TrustExistingOption,
    VariantsOption,
    selection_of,
)
from thumb_pipeline.domain.plans import Reason
from thumb_pipeline.domain.quantities import counted, human_bytes, human_seconds
from thumb_pipeline.stages.planning.plan import Plan, make_plan
from thumb_pipeline.stages.rendering import work_orders

_SHOWN_OTHERS = 20


def plan(
    library: LibraryOption = None,
    timelapse: TimelapsesOption = None,
    source: SourcesOption = None,
    variant: VariantsOption = None,
    force: ForceOption = False,
    retry_failed: RetryFailedOption = False,
    trust_existing: TrustExistingOption = False,
    accept_shrink: AcceptShrinkOption = False,
    json: JsonOption = False,
) -> None:
    """Say what generate would make, and why; nothing is changed."""
    opened = open_chosen_library(library)
    selection = selection_of(timelapse, source, variant, force, retry_failed, trust_existing, accept_shrink)
    with opened.lease() as lease, gauge("examining") as progress:
        made = make_plan(opened, selection, lease, on_progress=progress.show)
    order = work_orders.describe(opened, made, "plan")
    by_reason = {reason.value: order.by_reason.get(reason.value, 0) for reason in Reason}
    say_what_is_left_out(made)
    if json:
        print_json(
            {
                "sources": made.n_sources,
                "by_reason": by_reason,
                "variants": order.n_variants,
                "predicted_s": order.predicted_s,
                "n_bytes": order.n_bytes,
                "adopted": made.n_adopted,
                "unchanged": made.n_valid,
                "failed": made.n_failed,
                "pending": made.n_pending,
            }
        )
        return
    rows = [[name.replace("_", " "), f"{n:,}"] for name, n in by_reason.items() if n]
    print_table("To be made", ["reason", "variants"], [*rows, ["all", f"{order.n_variants:,}"]])
    typer.echo(
        f"{counted(made.n_sources, 'source')}: {made.n_valid:,} variants are right, {made.n_adopted:,} to be adopted; "
        f"{counted(made.n_failed, 'source')} failed before, {made.n_pending:,} still being written"
    )
    if not made.n_sources:
        say(where_frames_go(opened))
    if order.n_variants:
        written = human_bytes(order.n_variants * made.bytes_per_variant)
        typer.echo(
            f"reads {human_bytes(order.n_bytes)}, writes about {written}, "
            f"takes about {human_seconds(order.predicted_s)} here"
        )


def say_what_is_left_out(made: Plan) -> None:
    """Prints what is left out: unmatched folders, and in frames/ what is hidden, temporary or no regular file."""
    for folder in made.unmatched:
        say(f"{folder} is no camera's or timelapse's folder and is left out; rename it to be included")
    others = [name for part in made.parts for name in part.survey.others]
    for name in others[:_SHOWN_OTHERS]:
        say(f"{name} is a folder, a link or a special file among the frames and is left out")
    if len(others) > _SHOWN_OTHERS:
        say(f"… and {len(others) - _SHOWN_OTHERS} more of these")
    n_left_out = sum(part.survey.n_left_out for part in made.parts)
    if n_left_out:
        say(f"{counted(n_left_out, 'hidden or temporary file')} left out by the rule in docs/names-and-times.md")
