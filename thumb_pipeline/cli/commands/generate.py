"""`thumb-pipeline generate`: makes what is missing or stale.

It lists and plans first, and starts Dagster only if there is something to do. The UI shows that run.
"""

import time
from dataclasses import asdict, dataclass

import typer

from thumb_pipeline.cli.commands.plan import say_what_is_left_out
from thumb_pipeline.cli.console import (
    ExitCode,
    JsonOption,
    LibraryOption,
    gauge,
    open_chosen_library,
    print_json,
    say,
    where_frames_go,
)
from thumb_pipeline.cli.dagster.instance import refuse_long_path, settle_run_database
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
from thumb_pipeline.domain.quantities import counted, human_bytes, human_seconds
from thumb_pipeline.stages.inventory.selection import Selection
from thumb_pipeline.stages.library.library import Lease, Library
from thumb_pipeline.stages.planning.plan import make_plan
from thumb_pipeline.stages.removal.retire_timelapses import find_gone_timelapses
from thumb_pipeline.stages.rendering import accept_plan, work_orders
from thumb_pipeline.stages.rendering.after_killed import clean_up_after_killed
from thumb_pipeline.stages.rendering.work_orders import WorkOrder

_SHOWN_FAILURES = 20
_CHEAP_TO_LIST = 50_000


@dataclass(slots=True, kw_only=True)
class Summary:
    """The result of `generate`; `sources`, `failed`, `pending` count sources, the others variants."""

    sources: int
    rendered: int = 0
    adopted: int = 0
    unchanged: int = 0
    failed: int = 0
    pending: int = 0
    n_bytes: int = 0
    duration_s: float = 0.0


def generate(
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
    """Make every variant that is missing, stale or corrupt."""
    opened = open_chosen_library(library)
    selection = selection_of(timelapse, source, variant, force, retry_failed, trust_existing, accept_shrink)
    conclude(opened, *generate_library(opened, selection), json=json)


def conclude(library: Library, done: Summary, run_ids: list[str], stopped: str | None, *, json: bool) -> None:
    """Prints what a command rendered, and ends it with the exit code for that."""
    if json:
        print_json({**asdict(done), "run_ids": run_ids})
    else:
        _print(done, run_ids)
        if not done.sources:
            say(where_frames_go(library))
        if done.failed and not run_ids:
            say(
                "sources that failed are not tried again until they change or a retry is due; "
                "--retry-failed tries and names them"
            )
    if stopped:
        say(f"thumb-pipeline: {stopped}")
        raise typer.Exit(ExitCode.STOPPED)
    if done.failed:
        raise typer.Exit(ExitCode.INCOMPLETE)


def generate_library(library: Library, selection: Selection) -> tuple[Summary, list[str], str | None]:
    """Plans and renders; returns the summary, the ids of the runs, and why it stopped part-way, if it did."""
    started = time.monotonic()
    refuse_long_path(library)
    with library.lease() as lease:
        settle_run_database(library)
        put_right_after_killed(library)
        with gauge("examining") as progress:
            plan = make_plan(library, selection, lease, on_progress=progress.show)
        say_what_is_left_out(plan)
        accept_plan.record(library, plan)
        if not selection.sources:
            accept_plan.keep_plan(library, plan, sorted(plan.rows["timelapse"].unique()))
        done = Summary(
            sources=plan.n_sources,
            adopted=plan.n_adopted,
            unchanged=plan.n_valid,
            failed=plan.n_failed,
            pending=plan.n_pending,
        )
        run_ids, stopped = [], None
        if plan.n_adopted or not plan.rows.is_empty() or _is_something_to_retire(library, selection):
            from thumb_pipeline.cli.dagster import runs  # Dagster takes a second to load: only where there is work

            run_id = runs.new_run_id()
            order = work_orders.place(library, plan, run_id, lease=lease)
            statistics = not selection.sources and _is_worth_measuring(order.n_variants, plan.n_sources)
            del plan  # frees the memory of half a million rows
            stopped = carry_out(library, order, run_id, lease, done, statistics=statistics)
            run_ids.append(run_id)
    done.duration_s = round(time.monotonic() - started, 3)
    return done, run_ids, stopped


def carry_out(
    library: Library,
    order: WorkOrder,
    run_id: str,
    lease: Lease,
    done: Summary,
    *,
    statistics: bool,
    n_before: int = 0,
) -> str | None:
    """Runs an order of work, adds what it did to `done`, and returns why it stopped part-way, if it did.

    `n_before` counts its sources that were done before it was stopped the last time.
    """
    from thumb_pipeline.cli.dagster import runs  # Dagster takes a second to load: only where there is work

    with gauge("rendering") as progress:
        outcome = runs.carry_out(
            library,
            run_id,
            lease,
            on_source=lambda n: progress.show(n_before + n, order.n_sources),
            statistics=statistics,
        )
    for counts in outcome.done.by_timelapse.values():
        done.rendered += counts.rendered
        done.unchanged += counts.unchanged
        done.failed += counts.failed
        done.pending += counts.pending
        done.n_bytes += counts.n_bytes
    for source, reason, detail in outcome.done.failures[:_SHOWN_FAILURES]:
        say(f"{source}: {reason} ({detail})")
    return outcome.stopped


def _is_worth_measuring(n_variants: int, n_sources: int) -> bool:
    """Whether to measure statistics after the run.

    They list the whole library again: too much work after one frame in half a million, which changes no digit.
    """
    return n_sources <= _CHEAP_TO_LIST or n_variants >= n_sources / 100


def _is_something_to_retire(library: Library, selection: Selection) -> bool:
    """Whether a timelapse is gone, so that a run has to retire its partition.

    It is gone only once the loss of its last sources was accepted.
    """
    return selection.accept_shrink and bool(find_gone_timelapses(library))


def put_right_after_killed(library: Library) -> None:
    """Cleans up what killed commands left behind: unfinished files, orders of work, runs that no process ends."""

    def end_their_runs() -> None:
        from thumb_pipeline.cli.dagster import runs  # Dagster takes a second to load: only where there is work

        with runs.instance_of(library) as instance:
            runs.end_lost_runs(library, instance)

    n_files = clean_up_after_killed(library, end_their_runs)
    if n_files is not None:
        say(f"an earlier command was killed; cleaned up after it ({n_files} unfinished files)")


def _print(done: Summary, run_ids: list[str]) -> None:
    typer.echo(
        f"{counted(done.sources, 'source')}: {counted(done.rendered, 'variant')} rendered, {done.adopted:,} adopted, "
        f"{done.unchanged:,} unchanged; {counted(done.failed, 'source')} failed, {done.pending:,} pending"
    )
    if run_ids:
        typer.echo(f"wrote {human_bytes(done.n_bytes)} in {human_seconds(done.duration_s)}, run {run_ids[0]}")
