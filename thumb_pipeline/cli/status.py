"""`thumb-pipeline status` and `cancel`: what runs and waits, how far it is, and stopping it."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from thumb_pipeline.cli.console import (
    ExitCode,
    JsonOption,
    LibraryOption,
    chosen_library,
    print_json,
    say,
)
from thumb_pipeline.cli.instance import settle_run_database
from thumb_pipeline.cli.selection import AllOption
from thumb_pipeline.domain.quantities import counted, human_seconds
from thumb_pipeline.stages.library import Refused

if TYPE_CHECKING:
    from thumb_pipeline.cli.runs import RunState
    from thumb_pipeline.stages.activity import Activity, OrderProgress

_DAY = timedelta(days=1)
_N_FAILED_RUNS = 5


def status(library: LibraryOption = None, json: JsonOption = False) -> None:
    """Say what runs and waits, how far it is, and what failed."""
    from thumb_pipeline.cli import runs
    from thumb_pipeline.stages.activity import activity, orders

    opened = chosen_library(library)
    now = datetime.now(UTC)
    settle_run_database(opened)
    with runs.instance_of(opened) as instance:
        live = runs.unfinished_runs(opened, instance)
        failed = runs.failed_runs(instance, limit=_N_FAILED_RUNS)
    progress = {order.run_id: order for order in orders(opened, now=now)}
    found = activity(opened, now=now, within=_DAY)
    if json:
        print_json(_document(live, failed, progress, found))
    else:
        _print(live, failed, progress, found, now)


def cancel(
    run_id: Annotated[list[str] | None, typer.Argument(metavar="[RUN_ID]…", help="As status shows them.")] = None,
    everything: AllOption = False,
    library: LibraryOption = None,
    json: JsonOption = False,
) -> None:
    """Stop runs and backfills; what they finished is kept and recorded."""
    from thumb_pipeline.cli import runs

    opened = chosen_library(library)
    if not run_id and not everything:
        raise Refused("say which run: RUN_ID as status shows it, or --all")
    settle_run_database(opened)
    with runs.instance_of(opened) as instance:
        if not run_id:
            run_id = [each.backfill_id for each in runs.live_backfills(instance)]
            run_id += [each.run_id for each in runs.unfinished_runs(opened, instance)]
        backfills = [each for each in run_id if runs.stop_backfill(instance, each)]
        chosen = [each for each in run_id if each not in backfills]
        chosen += [each for one in backfills for each in runs.runs_of(instance, one) if each not in chosen]
        left = runs.cancel(opened, instance, chosen)
    _tell_cancelled(chosen, left, backfills, json=json)


def _tell_cancelled(chosen: list[str], left: list[str], backfills: list[str], *, json: bool) -> None:
    if json:
        cancelled = [each for each in chosen if each not in left]
        print_json({"cancelled": cancelled, "left": left, "backfills": backfills})
    else:
        typer.echo(f"{counted(len(chosen) - len(left), 'run')} cancelled")
        if backfills:
            typer.echo(f"{counted(len(backfills), 'backfill')} cancelled")
    if left:
        say(f"still stopping: {', '.join(left)}; look again with status")
        raise typer.Exit(ExitCode.INCOMPLETE)


def _document(
    live: "list[RunState]", failed: "list[RunState]", progress: "dict[str, OrderProgress]", found: "Activity"
) -> dict[str, object]:
    return {
        "runs": [
            {**asdict(run), "since": run.since.isoformat(), "progress": _progress(progress.get(run.run_id))}
            for run in live
        ],
        "stopped": [asdict(order) for order in progress.values() if order.run_id not in {run.run_id for run in live}],
        "pending": found.n_pending,
        "failed": found.n_failed,
        "completed_24h": found.n_made,
        "last_failures": [
            {**row, "recorded_at": row["recorded_at"].isoformat()} for row in found.failures.iter_rows(named=True)
        ],
        "last_failed_runs": [{**asdict(run), "since": run.since.isoformat()} for run in failed],
    }


def _progress(order: "OrderProgress | None") -> dict[str, object] | None:
    return None if order is None else asdict(order)


def _print(
    live: "list[RunState]",
    failed: "list[RunState]",
    progress: "dict[str, OrderProgress]",
    found: "Activity",
    now: datetime,
) -> None:
    if not live:
        typer.echo("nothing runs and nothing waits")
    for run in live:
        typer.echo(f"{run.run_id}  {run.job}  {run.status}  lane {run.lane}  began {_ago(run.since, now)}")
        if run.run_id in progress:
            typer.echo(f"  {_words(progress[run.run_id])}")
    working = {run.run_id for run in live}
    for order in progress.values():
        if order.run_id not in working:
            typer.echo(f"{order.run_id}  stopped  {_words(order)}; the same command goes on with it")
    typer.echo(
        f"last 24 h: {counted(found.n_made, 'variant')} made; {counted(found.n_failed, 'source')} failed, "
        f"{found.n_pending:,} still being written"
    )
    for row in found.failures.iter_rows(named=True):
        typer.echo(
            f"  {row['timelapse']}/{row['source_name']}: {row['reason']} ({row['detail']}), "
            f"{_ago(row['recorded_at'], now)}"
        )
    for run in failed:
        typer.echo(f"  run {run.run_id} ({run.job}) failed {_ago(run.since, now)}")


def _words(order: "OrderProgress") -> str:
    left = "unknown" if order.left_s is None else human_seconds(order.left_s)
    return f"{order.n_done:,} of {order.n_variants:,} variants, {order.per_s:.1f}/s, {left} left"


def _ago(then: datetime, now: datetime) -> str:
    return f"{human_seconds(max(0.0, (now - then).total_seconds()))} ago"
