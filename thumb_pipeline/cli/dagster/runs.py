"""The one module of the command line that starts and reads Dagster runs.

It works on the library's own instance, `<state>/dagster`, so that the UI of `up` shows what commands did.
"""

import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from sqlalchemy.exc import DBAPIError, OperationalError

from thumb_pipeline.cli.console import STOPPED
from thumb_pipeline.cli.dagster.half_made import discard_half_made
from thumb_pipeline.cli.dagster.instance import InstanceUnusable, command_home, write_instance_files
from thumb_pipeline.definitions import build_definitions
from thumb_pipeline.defs.runs.control import (
    BackfillState,
    call_cancelled,
    end_process,
    live_backfills,
    refuse_unstoppable,
    runs_of,
    stop_backfill,
    stop_run,
)
from thumb_pipeline.defs.runs.failures import COMMAND_TAG, REFUSED
from thumb_pipeline.defs.runs.lanes import LANE_TAG, RENDER_POOL
from thumb_pipeline.defs.runs.lost_runs import end_lost_runs
from thumb_pipeline.defs.runs.stuck_ticks import free_stuck_ticks
from thumb_pipeline.defs.runs.words import ASSETS_JOB, BACKFILL_TAG, CAPTURES_JOB, NO_RETRY, TIMELAPSES, UNFINISHED
from thumb_pipeline.domain.paths import inside
from thumb_pipeline.domain.plain_text import plain
from thumb_pipeline.stages.library import clean_up, run_database
from thumb_pipeline.stages.library.library import Lease, Library
from thumb_pipeline.stages.rendering.chunk import ChunkResult
from thumb_pipeline.stages.rendering.work_orders import fold

__all__ = [
    "BackfillState",
    "end_lost_runs",
    "live_backfills",
    "refuse_unstoppable",
    "runs_of",
    "stop_backfill",
]

_INTERRUPTED = {dg.DagsterExecutionInterruptedError.__name__, "Stopped", KeyboardInterrupt.__name__}


@dataclass(slots=True, kw_only=True)
class RunOutcome:
    """How a run ended: what its chunks did and, if it did not finish, the reason in a sentence."""

    run_id: str
    done: ChunkResult = field(default_factory=ChunkResult)
    stopped: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOutcome:
    """How a job of one op ended: what the op returned or, if it did not finish, the reason in a sentence.

    Attributes:
        is_refused: it stopped before anything was changed.
    """

    run_id: str
    output: Any = None
    stopped: str | None = None
    is_refused: bool = False


_STOP_WITHIN_S = 4.5
"""A run that is asked to stop needs less than this; after it, its process is killed."""

_END_WITHIN_S = 15.0

_MOST_SHOWN = 100
"""Characters shown of a tag, as anybody may give a run a tag of any length."""


def new_run_id() -> str:
    """An id for a run that is about to start; its order of work is placed under it."""
    return str(uuid.uuid4())


@contextmanager
def instance_of(library: Library) -> Iterator[dg.DagsterInstance]:
    """Opens the library's own Dagster instance; creates it if there is none yet."""
    write_instance_files(library)
    os.environ["DAGSTER_HOME"] = command_home(library)
    try:
        with _open_instance(library) as instance:
            yield instance
    except _storage_errors() as error:
        raise InstanceUnusable(_why_unusable(library, error)) from error


def _storage_errors() -> tuple[type[Exception], ...]:
    """The exceptions of Dagster's storage when it cannot be used; called only when something was raised."""
    if run_database.read_address() is None:
        return (OperationalError,)
    from dagster_postgres.utils import DagsterPostgresException

    return (DBAPIError, DagsterPostgresException)


def _why_unusable(library: Library, error: Exception) -> str:
    address = run_database.read_address()
    if address is None:
        detail = getattr(error, "orig", error)
        cause = f"the records in {library.dagster_home} cannot be used ({detail}); if that disk is full, free space"
    else:
        cause = f"{run_database.described(address, error)}; wait until PostgreSQL answers there again"
    return f"{cause}, then run the same command again"


def make_instance(library: Library) -> None:
    """Creates the library's Dagster instance if there is none yet, before several processes open it at once."""
    with instance_of(library):
        pass


def _open_instance(library: Library) -> dg.DagsterInstance:
    """Opens the instance, one process at a time: if two open a new one, both create its tables, and one fails."""
    with library.locked(inside(library.dagster_home, ".opening")):
        try:
            return _open_complete_instance()
        except dg.DagsterInvalidInvocationError:  # a table is missing
            if run_database.read_address() is not None or not discard_half_made(library):
                raise
            return _open_complete_instance()


def _open_complete_instance() -> dg.DagsterInstance:
    """Opens the instance, checks its tables, frees ticks dated in the future, and creates the pool of the render queue.

    Dagster itself creates a pool only when it first sees a run of it in the queue, and does not yet hold back the runs
    that wait beside that one.
    """
    instance = dg.DagsterInstance.get()
    instance.get_runs(limit=1)
    instance.get_dynamic_partitions(TIMELAPSES)
    free_stuck_ticks(instance, now_s=time.time())
    events = instance.event_log_storage
    if RENDER_POOL not in events.get_concurrency_keys():
        events.initialize_concurrency_limit_to_default(RENDER_POOL)
    return instance


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """One run that waits, works or has failed.

    Attributes:
        run_id: as the UI shows it.
        order_id: id of its order of work: that of the first run it repeats, or its own.
        job: name of its job in Dagster.
        status: Dagster's status in small letters.
        lane: its lane; "-" for a run of assets that waits.
        since: when it began or, if it has not, when it was created.
        backfill_id: id of the backfill that it is part of, or None.
    """

    run_id: str
    order_id: str
    job: str
    status: str
    lane: str
    since: datetime
    backfill_id: str | None

    @property
    def is_of_assets(self) -> bool:
        """Whether it materializes assets without a named job: launched by hand or by a backfill."""
        return self.job == ASSETS_JOB

    @property
    def is_for_captures(self) -> bool:
        """Whether it is the run that watches for new captures."""
        return self.job == CAPTURES_JOB


def unfinished_runs(library: Library, instance: dg.DagsterInstance) -> list[RunState]:
    """Runs that wait or work, the oldest first. First, runs of killed commands are marked as failed."""
    end_lost_runs(library, instance)
    records = instance.get_run_records(dg.RunsFilter(statuses=UNFINISHED), ascending=True)
    return [_state(record) for record in records]


def failed_runs(instance: dg.DagsterInstance, *, limit: int) -> list[RunState]:
    """The runs that failed last, the newest first."""
    failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])
    return [_state(record) for record in instance.get_run_records(failed, limit=limit)]


def cancel(library: Library, instance: dg.DagsterInstance, run_ids: list[str]) -> list[str]:
    """Asks runs to stop, then kills the processes of those that go on; returns the ids of those that have not ended."""
    asked_s = time.monotonic()  # the first run's time begins now, however many follow
    for run_id in run_ids:
        stop_run(library, instance, run_id)
    unfinished = wait_for_end(instance, run_ids, timeout_s=asked_s + _STOP_WITHIN_S - time.monotonic())
    for run_id in unfinished:
        end_process(library, instance, run_id)
    deadline = time.monotonic() + _END_WITHIN_S
    while unfinished and time.monotonic() < deadline:
        end_lost_runs(library, instance)
        unfinished = wait_for_end(instance, unfinished, timeout_s=0.5)
    for run_id in run_ids:
        call_cancelled(instance, run_id)
    return unfinished


def wait_for_end(instance: dg.DagsterInstance, run_ids: list[str], *, timeout_s: float) -> list[str]:
    """Waits until runs have ended; returns the ids of those that have not by then."""
    deadline = time.monotonic() + timeout_s
    while True:
        runs = [instance.get_run_by_id(run_id) for run_id in run_ids]
        unfinished = [run.run_id for run in runs if run is not None and not run.is_finished]
        if not unfinished or time.monotonic() > deadline:
            return unfinished
        time.sleep(0.1)


def _state(record: dg.RunRecord) -> RunState:
    run = record.dagster_run
    began = record.start_time or record.create_timestamp.timestamp()
    return RunState(
        run_id=run.run_id,
        order_id=run.root_run_id or run.run_id,
        job=run.job_name,
        status=run.status.value.lower(),
        lane=plain(run.tags.get(LANE_TAG, "-"), most=_MOST_SHOWN),
        since=datetime.fromtimestamp(began, UTC),
        backfill_id=plain(backfill_id, most=_MOST_SHOWN) if (backfill_id := run.tags.get(BACKFILL_TAG)) else None,
    )


def carry_out(
    library: Library,
    run_id: str,
    lease: Lease,
    *,
    on_source: Callable[[int], None],
    statistics: bool,
) -> RunOutcome:
    """Runs the job `generate` over the order of work placed under `run_id`, in this process and in the job's lane."""
    outcome = RunOutcome(run_id=run_id)
    results: list[ChunkResult] = []
    definitions = build_definitions(library=library.root, on_source=on_source, on_chunk=results.append)
    try:
        result = _execute(
            library,
            definitions.resolve_job_def("generate"),
            run_id,
            lease,
            {"report_order": {"config": {"statistics": statistics}}},
        )
        outcome.stopped = None if result.success else _reason(result)
    finally:
        outcome.done = fold(results)
    return outcome


def carry_out_job(
    library: Library,
    job: str,
    run_id: str,
    lease: Lease,
    *,
    op: str,
    config: dict[str, Any],
    tags: dict[str, str] | None = None,
) -> JobOutcome:
    """Runs a job of one op over the whole library, in this process, and returns what the op returned.

    Args:
        library: the library.
        job: the job's name.
        run_id: id for the new run.
        lease: our lease; the next process finds out by it that the run was killed.
        op: the name of its op.
        config: config of the op.
        tags: tags of the run.
    """
    definition = build_definitions(library=library.root).resolve_job_def(job)
    result = _execute(library, definition, run_id, lease, {op: {"config": config}}, tags)
    if not result.success:
        return JobOutcome(run_id=run_id, stopped=_reason(result), is_refused=_is_refused(result))
    return JobOutcome(run_id=run_id, output=result.output_for_node(op))


def _execute(
    library: Library,
    job: dg.JobDefinition,
    run_id: str,
    lease: Lease,
    ops: dict[str, Any],
    tags: dict[str, str] | None = None,
) -> dg.ExecuteInProcessResult:
    with instance_of(library) as instance:
        end_lost_runs(library, instance)
        return job.execute_in_process(
            run_config={"ops": ops, "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            instance=instance,
            run_id=run_id,
            tags={
                **(tags or {}),
                COMMAND_TAG: run_id,
                clean_up.LEASE_TAG: clean_up.lease_tag(lease, run_id),
                **NO_RETRY,
            },  # its user repeats a command, not the daemon
            resources={"io_manager": dg.mem_io_manager},  # one process: no later one reads the values
            raise_on_error=False,
        )


def _is_refused(result: dg.ExecuteInProcessResult) -> bool:
    """Whether an op marked its failure as a refusal (`defs.runs.failures`)."""
    failures = [event.step_failure_data.user_failure_data for event in result.all_events if event.is_step_failure]
    return any(failure is not None and REFUSED in failure.metadata for failure in failures)


def _reason(result: dg.ExecuteInProcessResult) -> str:
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            if data.error is not None and data.error.cls_name in _INTERRUPTED:
                return STOPPED
            if data.user_failure_data is not None and data.user_failure_data.description:
                return str(data.user_failure_data.description)
            if data.error is not None:
                return data.error.message.strip()
    return f"run {result.run_id} failed; look at it in the UI: thumb-pipeline up"
