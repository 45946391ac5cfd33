"""`thumb-pipeline status`: what runs and waits, how far it is, and what failed."""

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta

import typer

from thumb_pipeline.cli.console import (
    ExitCode,
    JsonOption,
    LibraryOption,
    command_line,
    complain,
    open_in_force_library,
    print_json,
)
from thumb_pipeline.cli.dagster import runs
from thumb_pipeline.cli.dagster.instance import settle_run_database
from thumb_pipeline.cli.dagster.runs import BackfillState, RunState
from thumb_pipeline.domain.clocks import SLACK
from thumb_pipeline.domain.plain_text import plain
from thumb_pipeline.domain.quantities import counted, human_seconds
from thumb_pipeline.stages.library.errors import REFUSALS
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.library.refused import SettingsTrouble
from thumb_pipeline.stages.rendering.progress import Activity, OrderProgress, Pace, activity, orders, pace
from thumb_pipeline.stages.rendering.regenerate import options_for

_DAY = timedelta(days=1)
_N_FAILED_RUNS = 5
_NOTHING = "nothing runs and nothing waits"
_AT_WORK = "started"
_WAITING = {"queued", "not_started", "starting"}
_BACKFILL_WORDS = {"requested": "under way", "canceling": "being cancelled", "failing": "failing"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Snapshot:
    """All that `status` prints. `recent` is None if the records cannot be read; `trouble` then says why."""

    live: list[RunState]
    failed: list[RunState]
    backfills: list[BackfillState]
    progress: dict[str, OrderProgress] = field(default_factory=dict)
    stopped: list[OrderProgress] = field(default_factory=list)
    recent: Activity | None = None
    trouble: str | None = None

    def pace(self, backfill: BackfillState, now: datetime) -> Pace:
        """The rate of a backfill; none for one that has not begun or is being stopped."""
        if backfill.working_since is None or backfill.working_since > now or backfill.status != "requested":
            return Pace()
        mine = [run.order_id for run in self.live if run.backfill_id == backfill.backfill_id]
        return pace(
            n_timelapses=backfill.n_timelapses,
            n_requested=backfill.n_requested,
            n_runs=backfill.n_runs,
            n_ended=backfill.n_ended,
            at_work=[self.progress[order_id] for order_id in mine if order_id in self.progress],
            took_s=(now - backfill.working_since).total_seconds(),
        )


def status(library: LibraryOption = None, json: JsonOption = False) -> None:
    """Say what runs and waits, how far it is, and what failed."""
    opened = open_in_force_library(library)
    now = datetime.now(UTC)
    settle_run_database(opened)
    snapshot = _take_snapshot(opened, now)
    if json:
        print_json({"settings": _settings(opened.trouble), **_document(snapshot, now)})
    else:
        if opened.trouble is not None:
            typer.echo(str(opened.trouble))
        _print(snapshot, now)
    if snapshot.trouble:
        complain(snapshot.trouble)
        raise typer.Exit(ExitCode.INCOMPLETE)


def _take_snapshot(library: Library, now: datetime) -> _Snapshot:
    """Reads runs and progress; if the records of a timelapse cannot be read, the runs alone."""
    with runs.instance_of(library) as instance:
        live = runs.unfinished_runs(library, instance)
        failed = runs.failed_runs(instance, limit=_N_FAILED_RUNS)
        backfills = runs.live_backfills(instance)
        begun = {run.order_id: run.since for run in live if run.status == _AT_WORK}
        try:
            progress = {order.run_id: order for order in orders(library, now=now, begun=begun)}
            recent = activity(library, now=now, within=_DAY)
        except REFUSALS as refused:
            return _Snapshot(live=live, failed=failed, backfills=backfills, trouble=str(refused))
        later = runs.unfinished_runs(library, instance)  # a run that began meanwhile was not stopped
    live_orders = {run.order_id for run in [*live, *later]}
    stopped = [order for order in progress.values() if order.run_id not in live_orders and not order.is_held]
    return _Snapshot(live=live, failed=failed, backfills=backfills, progress=progress, stopped=stopped, recent=recent)


def _document(snapshot: _Snapshot, now: datetime) -> dict[str, object]:
    recent = snapshot.recent
    failures = () if recent is None else recent.failures.iter_rows(named=True)
    return {
        "runs": [{**_fields(run), "progress": _progress(snapshot.progress.get(run.order_id))} for run in snapshot.live],
        "backfills": [{**_fields(one), **asdict(snapshot.pace(one, now))} for one in snapshot.backfills],
        "stopped": [_progress(order) for order in snapshot.stopped],
        "pending": None if recent is None else recent.n_pending,
        "failed": None if recent is None else recent.n_failed,
        "failed_24h": None if recent is None else recent.n_newly_failed,
        "completed_24h": None if recent is None else recent.n_made,
        "last_failures": [{**row, "recorded_at": row["recorded_at"].isoformat()} for row in failures],
        "last_failed_runs": [_fields(run) for run in snapshot.failed],
    }


def _settings(trouble: SettingsTrouble | None) -> dict[str, object] | None:
    if trouble is None:
        return None
    return {"faults": list(trouble.faults), "in_force_since": trouble.in_force_since.isoformat()}


def _fields(state: RunState | BackfillState) -> dict[str, object]:
    return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in asdict(state).items()}


def _progress(order: OrderProgress | None) -> dict[str, object] | None:
    if order is None:
        return None
    fields = asdict(order)
    del fields["asked"], fields["is_held"]
    return {**fields, "command": _command(order)}


def _print(snapshot: _Snapshot, now: datetime) -> None:
    if not snapshot.live and not snapshot.backfills:
        typer.echo(_NOTHING)
    for run in snapshot.live:
        _print_run(run, snapshot.progress.get(run.order_id), now)
    for backfill in snapshot.backfills:
        _print_backfill(backfill, snapshot.pace(backfill, now), now)
    for order in snapshot.stopped:
        typer.echo(f"{order.run_id}  stopped  {_done(order)}; {_how_to_go_on(order)}")
    if snapshot.recent is not None:
        _print_activity(snapshot.recent, now)
    for run in snapshot.failed:
        typer.echo(f"  run {run.run_id} ({_job_words(run)}) failed {_ago(run.since, now)}")


def _print_run(run: RunState, order: OrderProgress | None, now: datetime) -> None:
    lane = "" if run.lane == "-" else f"  lane {run.lane}"
    since = "was asked for" if run.status in _WAITING else "began"
    typer.echo(f"{run.run_id}  {_job_words(run)}  {run.status.replace('_', ' ')}{lane}  {since} {_ago(run.since, now)}")
    if order is not None:
        typer.echo(f"  {_progress_words(order)}")
    elif run.is_for_captures and run.status == _AT_WORK:
        typer.echo("  watches for new frames and renders them as they come")


def _job_words(run: RunState) -> str:
    job = "assets" if run.is_of_assets else run.job
    return job if run.backfill_id is None else f"{job} of backfill {run.backfill_id}"


def _print_backfill(backfill: BackfillState, pace: Pace, now: datetime) -> None:
    typer.echo(
        f"{backfill.backfill_id}  backfill of {counted(backfill.n_timelapses, 'timelapse')}  "
        f"{_BACKFILL_WORDS[backfill.status]}  was launched {_ago(backfill.since, now)}"
    )
    n_left = backfill.n_timelapses - backfill.n_done - backfill.n_failed
    runs = f"{counted(backfill.n_runs, 'run')} so far, {backfill.n_ended:,} ended" if backfill.n_runs else "no run yet"
    rate = f", {_rate(pace)}" if backfill.status == "requested" else ""
    typer.echo(f"  {backfill.n_done:,} done, {backfill.n_failed:,} failed, {n_left:,} to go{rate}; {runs}")


def _print_activity(recent: Activity, now: datetime) -> None:
    typer.echo(
        f"last 24 h: {counted(recent.n_made, 'variant')} made, {counted(recent.n_newly_failed, 'source')} failed; "
        f"in all {recent.n_failed:,} failed, {recent.n_pending:,} still being written"
    )
    for row in recent.failures.iter_rows(named=True):
        typer.echo(
            f"  {row['timelapse']}/{row['source_name']}: {row['reason']} ({plain(row['detail'] or '')}), "
            f"{_ago(row['recorded_at'], now)}"
        )


def _progress_words(order: OrderProgress) -> str:
    if order.n_done == order.n_variants:
        return f"{_done(order)}; reports what it did"
    return f"{_done(order)}, {_rate(order)}"


def _rate(pace: OrderProgress | Pace) -> str:
    if pace.left_s is None:
        return "time left not known yet"
    rate = f"{pace.per_s:.1f}/s" if pace.per_s >= 1 else f"{60 * pace.per_s:.1f}/min"
    return f"{rate}, {human_seconds(pace.left_s)} left"


def _done(order: OrderProgress) -> str:
    return f"{order.n_done:,} of {counted(order.n_variants, 'variant')}"


def _how_to_go_on(order: OrderProgress) -> str:
    command = _command(order)
    return "re-executed in the UI, it goes on" if command is None else f"to go on: {command}"


def _command(order: OrderProgress) -> str | None:
    """The command that goes on with an order; None if no command does."""
    return command_line("regenerate", *options_for(order.asked)) if order.goes_on_by_command else None


def _ago(then: datetime, now: datetime) -> str:
    if then > now + SLACK:
        return "at an unknown time, by a clock that ran ahead"
    return f"{human_seconds(max(0.0, (now - then).total_seconds()))} ago"
