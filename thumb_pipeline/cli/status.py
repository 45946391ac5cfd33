"""`thumb-pipeline status` and `cancel`: what runs and waits, how far it is, and stopping it."""

import contextlib
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from thumb_pipeline.cli.console import (
    ExitCode,
    JsonOption,
    LibraryOption,
    library_in_force,
    print_json,
    say,
    say_trouble,
)
from thumb_pipeline.cli.instance import settle_run_database
from thumb_pipeline.cli.selection import AllOption
from thumb_pipeline.domain.quantities import counted, human_seconds
from thumb_pipeline.stages.library import Refused

if TYPE_CHECKING:
    from thumb_pipeline.cli.runs import RunState
    from thumb_pipeline.stages.activity import Activity, OrderProgress
    from thumb_pipeline.stages.library import SettingsTrouble

_DAY = timedelta(days=1)
_N_FAILED_RUNS = 5
_ASK_AGAIN_S = 5.0
_CANCEL_S = 15.0


def status(library: LibraryOption = None, json: JsonOption = False) -> None:
    """Say what runs and waits, how far it is, and what failed."""
    from thumb_pipeline.cli import runs
    from thumb_pipeline.stages.activity import activity, orders

    opened = library_in_force(library)
    now = datetime.now(UTC)
    settle_run_database(opened)
    with runs.instance_of(opened) as instance:
        live = runs.unfinished_runs(opened, instance)
        failed = runs.failed_runs(instance, limit=_N_FAILED_RUNS)
    progress = {order.run_id: order for order in orders(opened, now=now)}
    found = activity(opened, now=now, within=_DAY)
    if json:
        print_json({"settings": _settings(opened.trouble), **_document(live, failed, progress, found)})
    else:
        if opened.trouble is not None:
            typer.echo(str(opened.trouble))
        _print(live, failed, progress, found, now)


def cancel(
    run_id: Annotated[list[str] | None, typer.Argument(metavar="[RUN_ID]…", help="As status shows them.")] = None,
    everything: AllOption = False,
    library: LibraryOption = None,
    json: JsonOption = False,
) -> None:
    """Stop runs; what they finished is kept and recorded."""
    from thumb_pipeline.cli import runs

    opened = library_in_force(library)
    say_trouble(opened)
    if not run_id and not everything:
        raise Refused("say which run: RUN_ID as status shows it, or --all")
    settle_run_database(opened)
    with runs.instance_of(opened) as instance:
        chosen = run_id or [run.run_id for run in runs.unfinished_runs(opened, instance)]
        for each in chosen:
            runs.cancel(opened, instance, each)
        left = runs.wait_for_end(instance, chosen, timeout_s=_ASK_AGAIN_S)
        for each in left:  # an interrupt that meets a callback of a library can be swallowed there
            with contextlib.suppress(Refused):  # it has ended meanwhile
                runs.cancel(opened, instance, each)
        left = runs.wait_for_end(instance, left, timeout_s=_CANCEL_S)
    if json:
        print_json({"cancelled": [each for each in chosen if each not in left], "left": left})
    else:
        typer.echo(f"{counted(len(chosen) - len(left), 'run')} cancelled")
    if left:
        say(f"still stopping after {_CANCEL_S:.0f} s: {', '.join(left)}; look again with status")
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


def _settings(trouble: "SettingsTrouble | None") -> dict[str, object] | None:
    if trouble is None:
        return None
    return {"faults": list(trouble.faults), "in_force_since": trouble.in_force_since.isoformat()}


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
