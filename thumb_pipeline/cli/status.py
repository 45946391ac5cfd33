"""`thumb-pipeline status` and `cancel`: what runs and waits, how far it is, and stopping it."""

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from thumb_pipeline.cli.console import (
    ExitCode,
    JsonOption,
    LibraryOption,
    complain,
    library_in_force,
    print_json,
    say,
    say_trouble,
)
from thumb_pipeline.cli.instance import settle_run_database
from thumb_pipeline.cli.selection import AllOption
from thumb_pipeline.domain.quantities import counted, human_seconds
from thumb_pipeline.stages.errors import REFUSALS
from thumb_pipeline.stages.library import Library, Refused

if TYPE_CHECKING:
    from thumb_pipeline.cli.runs import BackfillState, RunState
    from thumb_pipeline.stages.activity import Activity, OrderProgress
    from thumb_pipeline.stages.library import SettingsTrouble

_DAY = timedelta(days=1)
_N_FAILED_RUNS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """All that `status` tells. Without `found`, the records cannot be read; `trouble` says why."""

    live: "list[RunState]"
    failed: "list[RunState]"
    backfills: "list[BackfillState]"
    progress: "dict[str, OrderProgress]" = field(default_factory=dict)
    found: "Activity | None" = None
    trouble: str | None = None

    @property
    def stopped(self) -> "list[OrderProgress]":
        """Orders that nobody works on and that somebody may go on with."""
        at_work = {run.order_id for run in self.live}
        return [order for order in self.progress.values() if order.run_id not in at_work]


def status(library: LibraryOption = None, json: JsonOption = False) -> None:
    """Say what runs and waits, how far it is, and what failed."""
    opened = library_in_force(library)
    now = datetime.now(UTC)
    settle_run_database(opened)
    seen = _seen(opened, now)
    if json:
        print_json({"settings": _settings(opened.trouble), **_document(seen)})
    else:
        if opened.trouble is not None:
            typer.echo(str(opened.trouble))
        _print(seen, now)
    if seen.trouble:
        complain(seen.trouble)
        raise typer.Exit(ExitCode.INCOMPLETE)


def _seen(library: Library, now: datetime) -> _Seen:
    """The runs, also where the records of a timelapse cannot be read."""
    from thumb_pipeline.cli import runs
    from thumb_pipeline.stages.activity import activity, orders

    with runs.instance_of(library) as instance:
        live = runs.unfinished_runs(library, instance)
        failed = runs.failed_runs(instance, limit=_N_FAILED_RUNS)
        backfills = runs.live_backfills(instance)
    try:
        progress = {order.run_id: order for order in orders(library, now=now)}
        found = activity(library, now=now, within=_DAY)
    except REFUSALS as refused:
        return _Seen(live=live, failed=failed, backfills=backfills, trouble=str(refused))
    return _Seen(live=live, failed=failed, backfills=backfills, progress=progress, found=found)


def cancel(
    run_id: Annotated[list[str] | None, typer.Argument(metavar="[RUN_ID]…", help="As status shows them.")] = None,
    everything: AllOption = False,
    library: LibraryOption = None,
    json: JsonOption = False,
) -> None:
    """Stop runs and backfills; what they finished is kept."""
    from thumb_pipeline.cli import runs

    opened = library_in_force(library)
    say_trouble(opened)
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


def _document(seen: _Seen) -> dict[str, object]:
    found = seen.found
    failures = () if found is None else found.failures.iter_rows(named=True)
    return {
        "runs": [{**_plain(run), "progress": _progress(seen.progress.get(run.order_id))} for run in seen.live],
        "backfills": [_plain(backfill) for backfill in seen.backfills],
        "stopped": [asdict(order) for order in seen.stopped],
        "pending": None if found is None else found.n_pending,
        "failed": None if found is None else found.n_failed,
        "failed_24h": None if found is None else found.n_newly_failed,
        "completed_24h": None if found is None else found.n_made,
        "last_failures": [{**row, "recorded_at": row["recorded_at"].isoformat()} for row in failures],
        "last_failed_runs": [_plain(run) for run in seen.failed],
    }


def _settings(trouble: "SettingsTrouble | None") -> dict[str, object] | None:
    if trouble is None:
        return None
    return {"faults": list(trouble.faults), "in_force_since": trouble.in_force_since.isoformat()}


def _plain(state: "RunState | BackfillState") -> dict[str, object]:
    return {**asdict(state), "since": state.since.isoformat()}


def _progress(order: "OrderProgress | None") -> dict[str, object] | None:
    return None if order is None else asdict(order)


def _print(seen: _Seen, now: datetime) -> None:
    if not seen.live:
        typer.echo("nothing runs and nothing waits")
    for run in seen.live:
        typer.echo(f"{run.run_id}  {run.job}  {run.status}  lane {run.lane}  {_since(run, now)}")
        if run.order_id in seen.progress:
            typer.echo(f"  {_words(seen.progress[run.order_id])}")
    for backfill in seen.backfills:
        typer.echo(
            f"{backfill.backfill_id}  backfill  {backfill.status}  {counted(backfill.n_runs, 'run')} started, "
            f"{backfill.n_ended:,} ended  began {_ago(backfill.since, now)}"
        )
    for order in seen.stopped:
        typer.echo(f"{order.run_id}  stopped  {_done(order)}; {_how_to_go_on(order)}")
    if seen.found is not None:
        _print_found(seen.found, now)
    for run in seen.failed:
        typer.echo(f"  run {run.run_id} ({run.job}) failed {_ago(run.since, now)}")


def _print_found(found: "Activity", now: datetime) -> None:
    typer.echo(
        f"last 24 h: {counted(found.n_made, 'variant')} made, {counted(found.n_newly_failed, 'source')} failed; "
        f"in all {found.n_failed:,} failed, {found.n_pending:,} still being written"
    )
    for row in found.failures.iter_rows(named=True):
        typer.echo(
            f"  {row['timelapse']}/{row['source_name']}: {row['reason']} ({row['detail']}), "
            f"{_ago(row['recorded_at'], now)}"
        )


def _words(order: "OrderProgress") -> str:
    left = "unknown" if order.left_s is None else human_seconds(order.left_s)
    return f"{_done(order)}, {order.per_s:.1f}/s, {left} left"


def _done(order: "OrderProgress") -> str:
    return f"{order.n_done:,} of {order.n_variants:,} variants"


def _how_to_go_on(order: "OrderProgress") -> str:
    if order.goes_on_by_command:
        return "the same command goes on with it"
    return "re-executed in the UI, it goes on"


def _ago(then: datetime, now: datetime) -> str:
    return f"{human_seconds(max(0.0, (now - then).total_seconds()))} ago"


def _since(run: "RunState", now: datetime) -> str:
    return f"{'was asked for' if run.status == 'queued' else 'began'} {_ago(run.since, now)}"
