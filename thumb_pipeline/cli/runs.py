"""The one module of the command line that starts and reads Dagster runs.

It works on the library's own instance, `<state>/dagster`, so that the UI of `up` shows what commands did.
"""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import dagster as dg
from sqlalchemy.exc import OperationalError

from thumb_pipeline.cli.console import STOPPED
from thumb_pipeline.cli.instance import InstanceUnusable, command_home, write_instance_files
from thumb_pipeline.definitions import build_definitions
from thumb_pipeline.stages import recovery
from thumb_pipeline.stages.library import Lease, Library
from thumb_pipeline.stages.render import ChunkResult
from thumb_pipeline.stages.work_orders import fold

_INTERRUPTED = dg.DagsterExecutionInterruptedError.__name__
_IN_PROGRESS = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


@dataclass(slots=True, kw_only=True)
class RunOutcome:
    """How a run ended: what its chunks did, and in a sentence why it did not get to its end."""

    run_id: str
    done: ChunkResult = field(default_factory=ChunkResult)
    stopped: str | None = None


def new_run_id() -> str:
    """An id for a run that is about to start; its order of work is placed under it."""
    return str(uuid.uuid4())


@contextmanager
def instance_of(library: Library) -> Iterator[dg.DagsterInstance]:
    """The library's own Dagster instance, made where there is none yet."""
    write_instance_files(library)
    os.environ["DAGSTER_HOME"] = command_home(library)
    try:
        with _opened(library) as instance:
            yield instance
    except OperationalError as error:
        raise InstanceUnusable(
            f"the records in {library.dagster_home} cannot be used ({error.orig}); if that disk is full, free space, "
            "then run the same command again"
        ) from error


def make_instance(library: Library) -> None:
    """Makes the library's Dagster instance where there is none yet, before several processes open it at once."""
    with instance_of(library):
        pass


def _opened(library: Library) -> dg.DagsterInstance:
    """Opens the instance, one process at a time: two that meet a new one both create its tables, and one fails."""
    with library.locked(os.path.join(library.dagster_home, ".opening")):
        instance = dg.DagsterInstance.get()
        instance.get_runs(limit=1)
        instance.get_dynamic_partitions("timelapse")
        instance.all_instigator_state()
        return instance


def fail_abandoned_runs(library: Library, instance: dg.DagsterInstance) -> None:
    """Marks runs as failed whose process was killed: Dagster itself does not notice for runs inside a command."""
    for record in instance.get_run_records(dg.RunsFilter(statuses=_IN_PROGRESS)):
        lease_id = record.dagster_run.tags.get(recovery.LEASE_TAG)
        if lease_id and recovery.is_abandoned(library, lease_id):
            instance.report_run_failed(
                record.dagster_run, "The process of this run was killed; the next generate goes on where it stopped."
            )


def carry_out(
    library: Library,
    run_id: str,
    lease: Lease,
    *,
    on_source: Callable[[int], None],
    statistics: bool,
) -> RunOutcome:
    """Runs the job `generate` over the order of work placed under `run_id`, in this process."""
    outcome = RunOutcome(run_id=run_id)
    results: list[ChunkResult] = []
    with instance_of(library) as instance:
        fail_abandoned_runs(library, instance)
        definitions = build_definitions(library=library.root, on_source=on_source, on_chunk=results.append)
        job = definitions.resolve_job_def("generate")
        config = {
            "ops": {"report_order": {"config": {"statistics": statistics}}},
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        }
        try:
            result = job.execute_in_process(
                run_config=config,
                instance=instance,
                run_id=run_id,
                tags={recovery.LEASE_TAG: lease.id, "dagster/max_retries": "0"},  # a command is repeated by its user
                raise_on_error=False,
            )
            if not result.success:
                outcome.stopped = _reason(result)
        finally:
            outcome.done = fold(results)
    return outcome


def _reason(result: dg.ExecuteInProcessResult) -> str:
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            if data.error is not None and data.error.cls_name == _INTERRUPTED:
                return STOPPED
            if data.user_failure_data is not None and data.user_failure_data.description:
                return str(data.user_failure_data.description)
            if data.error is not None:
                return data.error.message.strip()
    return f"run {result.run_id} failed; look at it in the UI: thumb-pipeline up"
