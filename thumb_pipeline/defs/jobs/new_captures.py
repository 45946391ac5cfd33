"""`new_captures`: the job that renders new captures as they come, and stays a while for the next ones.

It belongs to no partition: it reports a materialization for every timelapse that had something new. The sensor decides
when it starts; `stages.captures.follow` decides what it renders.
"""

import math
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import dagster as dg
from pydantic import Field

from thumb_pipeline.defs.partitions import register_timelapses
from thumb_pipeline.defs.resources import LibraryResource
from thumb_pipeline.defs.run_config import RunConfig
from thumb_pipeline.defs.runs.failures import refusal
from thumb_pipeline.defs.runs.in_flight import unfinished_run_ids
from thumb_pipeline.defs.runs.lanes import CAPTURES
from thumb_pipeline.defs.runs.words import CAPTURES_JOB, NO_RETRY
from thumb_pipeline.defs.shown.materializing import materialize
from thumb_pipeline.domain.watching import HAND_OVER_S, RUN_LASTS_S
from thumb_pipeline.stages.captures import memory
from thumb_pipeline.stages.captures.follow import Follower, Rendered, Stay
from thumb_pipeline.stages.captures.watch import Watch
from thumb_pipeline.stages.library.errors import INTERRUPTIONS, REFUSALS
from thumb_pipeline.stages.library.library import Lease, Library
from thumb_pipeline.stages.rendering.after_killed import clean_up_after_killed
from thumb_pipeline.stages.rendering.chunk import ChunkResult
from thumb_pipeline.stages.rendering.work_orders import FoundCounts, fold
from thumb_pipeline.storage import stopping
from thumb_pipeline.storage.leases import LockTimeout

_REPORT_EVERY_S = 60.0
_REPORT_FOR_S = 0.3  # of reporting between two looks, so that the next frame waits no longer than this
_OTHER_WATCHER_S = HAND_OVER_S + 30.0  # waits for the previous run, or for a tick of the sensor, which takes 25 s


class CapturesConfig(RunConfig):
    """What a run for new captures starts from."""

    changes: str = Field(
        default="",
        description="Name of the list of changes that the sensor wrote into the state folder; empty lists all folders.",
    )


@dataclass(slots=True)
class _Account:
    """The results in each timelapse since its last report, and when that report was."""

    found: dict[str, FoundCounts] = field(default_factory=dict)
    results: dict[str, list[ChunkResult]] = field(default_factory=dict)
    reported_s: dict[str, float] = field(default_factory=dict)

    def add(self, done: Rendered) -> None:
        for key, counts in done.found.items():
            before = self.found.get(key, FoundCounts())
            reasons = {*before.by_reason, *counts.by_reason}
            self.found[key] = FoundCounts(
                by_reason={name: before.by_reason.get(name, 0) + counts.by_reason.get(name, 0) for name in reasons},
                unchanged=before.unchanged + counts.unchanged,
                adopted=before.adopted + counts.adopted,
                failed=before.failed + counts.failed,
                pending=counts.pending,
            )
            self.results.setdefault(key, []).append(done.result)

    def due(self) -> str | None:
        """A timelapse to report now; None if none is due. One report takes about as long as rendering a frame."""
        now_s = time.monotonic()
        return next((key for key in self.found if now_s - self.reported_s.get(key, -math.inf) >= _REPORT_EVERY_S), None)

    def close(self, key: str) -> tuple[FoundCounts, ChunkResult]:
        """Takes the results of a timelapse out of the account, to report them."""
        self.reported_s[key] = time.monotonic()
        return self.found.pop(key), fold(self.results.pop(key))


@dg.op(config_schema=CapturesConfig.as_field())
def follow_captures(context: dg.OpExecutionContext, library: LibraryResource) -> None:
    """Renders what is new, in any timelapse, until nothing was new for a while; then the sensor watches again."""
    config, opened = CapturesConfig.of(context), library.open(context.instance)
    try:
        with opened.lease() as lease, ExitStack() as held, _end_well_when_stopped(context):
            try:
                held.enter_context(memory.watching(opened, wait_s=_OTHER_WATCHER_S))
            except LockTimeout:
                context.log.info("another process already handles new captures; this run has nothing to do")
                return
            account, opened = _follow(context, opened, lease, config.changes)
            held.close()  # the next run need not wait for this run's reports
            with stopping.finishing():
                for key in sorted(account.found):
                    materialize(context, opened, key, *account.close(key))
    except (*REFUSALS, *INTERRUPTIONS) as error:
        raise refusal(str(error)) from error


def _follow(context: dg.OpExecutionContext, library: Library, lease: Lease, list_id: str) -> tuple[_Account, Library]:
    """Renders until it is time to end; returns what is still to be reported, and the library with its last settings."""
    watch = Watch.begin(library, lambda: unfinished_run_ids(context.instance))
    watch.receive(memory.read_list(library, list_id))
    wanted = library.settings.captures
    stay = Stay(linger_s=wanted.linger_s, most_s=RUN_LASTS_S + HAND_OVER_S, is_kept_warm=wanted.keep_warm)
    account, logged = _Account(), {str(library.trouble)}  # this was logged when the library was opened
    known, is_clean = set[str](), False
    with Follower(library, watch, lease, context.run_id) as follower, _end_well_when_stopped(context):
        for done in follower.batches(stay):
            if watch.timelapses - known:
                register_timelapses(context.instance, sorted(watch.timelapses))
            known = set(watch.timelapses)  # a timelapse that vanished and comes back may have been retired meanwhile
            for line in _take_new_trouble(watch, done, follower.library, logged):
                context.log.warning(line)
            if done is not None:
                account.add(done)
                continue
            memory.discard_list(library, list_id)  # the backlog is empty, so everything in the list is done
            if not is_clean:
                clean_up_after_killed(library)
                is_clean = True
            until_s = time.monotonic() + _REPORT_FOR_S
            while time.monotonic() < until_s and (key := account.due()) is not None:
                materialize(context, follower.library, key, *account.close(key))
    return account, follower.library


@contextmanager
def _end_well_when_stopped(context: dg.OpExecutionContext) -> Iterator[None]:
    """Ends the run as a success when the service stops: nothing is lost, the next sensor finds what is new.

    A run that was cancelled stays cancelled.
    """
    try:
        yield
    except (dg.DagsterExecutionInterruptedError, KeyboardInterrupt):
        run = context.instance.get_run_by_id(context.run_id)
        if run is None or run.status == dg.DagsterRunStatus.CANCELING:
            raise
        context.log.info("stopped with the service; captures that arrive meanwhile are found when it starts again")


def _take_new_trouble(watch: Watch, done: Rendered | None, library: Library, logged: set[str]) -> list[str]:
    trouble = {**watch.trouble, **(done.trouble if done else {})}
    lines = [f"{where} is left alone for now: {reason}" for where, reason in trouble.items()]
    if library.trouble is not None:
        lines.append(str(library.trouble))
    new = [line for line in lines if line not in logged]
    logged.update(new)
    return new


@dg.graph(name=CAPTURES_JOB)
def new_captures_graph() -> None:
    """Renders new captures of all timelapses as they come. Started by `new_captures_sensor`."""
    follow_captures()


new_captures = new_captures_graph.to_job(executor_def=dg.in_process_executor, tags={**CAPTURES, **NO_RETRY})
