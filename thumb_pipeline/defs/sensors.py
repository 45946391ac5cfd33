"""`new_captures_sensor`: watches the library and requests a run when frames wait.

It only gathers and requests: `stages.captures.watch` finds what changed, `domain.watching` decides what to do.
"""

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import dagster as dg

from thumb_pipeline.defs import settings_trouble
from thumb_pipeline.defs.jobs.new_captures import new_captures
from thumb_pipeline.defs.partitions import PartitionsOfTick, timelapse_partitions
from thumb_pipeline.defs.resources import LibraryResource
from thumb_pipeline.defs.runs.in_flight import attending_for_s, unfinished_run_ids
from thumb_pipeline.defs.runs.lost_runs import ask_again_for_lost_retries
from thumb_pipeline.defs.verification import VERIFICATION
from thumb_pipeline.domain.watching import Cursor, Decision, OnDisk, decide, is_successor_due
from thumb_pipeline.stages.captures import memory
from thumb_pipeline.stages.captures.follow import pause_s
from thumb_pipeline.stages.captures.watch import Watch
from thumb_pipeline.stages.inventory.listing import discover_apart
from thumb_pipeline.stages.library import settings_in_force
from thumb_pipeline.stages.library.errors import INTERRUPTIONS, REFUSALS
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.storage.leases import LockTimeout

_TICK_S = 25.0
"""How long a tick watches. The daemon starts a tick at most every five seconds, so ticks have to last long."""

_ASK_AGAIN_S = 1.0
_MOST_TROUBLE = 10
_MOST_ATTEMPTS = 1_000_000
_PATIENCE_S = 1.0  # a new folder is about to get its first frame: both in one tick


@dg.sensor(
    job_name=new_captures.name,  # given the job itself, Dagster 1.13 warns of a beta parameter that nobody set
    minimum_interval_seconds=1,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Watches the library's folders and requests one run of new_captures when frames are new or changed, for all "
        "timelapses together; adds partitions for new timelapses and deletes those of forgotten ones."
    ),
)
def new_captures_sensor(context: dg.SensorEvaluationContext, library: LibraryResource) -> dg.SensorResult:
    """One tick: watches until there is something to request, for at most 25 s."""
    opened = None
    try:
        opened = library.open(context.instance)
        requests = _look(context, opened, deadline_s=time.monotonic() + _TICK_S)
    except LockTimeout:
        requests = _TickRequests(reason="another process watches this library")
    except (*REFUSALS, *INTERRUPTIONS) as refused:
        requests = _TickRequests(reason=str(refused))
    except dg.Failure as failure:
        requests = _TickRequests(reason=failure.description or "")
    return _result(context, opened, requests)


@dataclass(frozen=True, slots=True, kw_only=True)
class _TickRequests:
    """What a tick requests from Dagster.

    Attributes:
        run: the run for new captures, or the successor of one; None if none is requested.
        reason: why no run is requested, and what could not be read.
        decision: which partitions are added and deleted.
        cursor: how often a run was requested in vain; None leaves the cursor as it is.
    """

    run: dg.RunRequest | None = None
    reason: str = ""
    decision: Decision | None = None
    cursor: Cursor | None = None


def _look(context: dg.SensorEvaluationContext, library: Library, deadline_s: float) -> _TickRequests:
    """Watches sources in this tick, unless a run handles them: then only its successor and partitions are decided."""
    before = settings_in_force.look_at_file(library)
    ask_again_for_lost_retries(context.instance)
    while ages_s := attending_for_s(context.instance, library):
        if is_successor_due(list(ages_s.values())):
            [waited_for] = ages_s  # the successor starts work when this run ends; its key prevents a second one
            return _TickRequests(run=dg.RunRequest(run_key=f"after-{waited_for}"))
        if time.monotonic() > deadline_s or settings_in_force.look_at_file(library) != before:
            return _decide_beside_a_run(context, library)
        time.sleep(_ASK_AGAIN_S)
    with memory.watching(library):
        return _watch(context, library, deadline_s)


def _decide_beside_a_run(context: dg.SensorEvaluationContext, library: Library) -> _TickRequests:
    """Decides on partitions and the reason to show while a run handles new captures."""
    discovery = discover_apart(library)
    partitions, timelapses = PartitionsOfTick(context.instance, library), frozenset(discovery.keys)
    known = partitions.known(timelapses, is_sure=not discovery.trouble)
    in_flight = replace(partitions.in_flight(known), is_attended=True)
    decision = decide(OnDisk(timelapses=timelapses), known, in_flight, Cursor(), now_s=time.time())
    return _TickRequests(reason=_reason(decision, discovery.trouble), decision=decision)


def _watch(context: dg.SensorEvaluationContext, library: Library, deadline_s: float) -> _TickRequests:
    """Looks at the disk and decides, again and again, until there is something to request or time is up."""
    watch = Watch.begin(library, lambda: unfinished_run_ids(context.instance))
    partitions = PartitionsOfTick(context.instance, library)
    cursor = _read_cursor(context, library)
    before, keep_warm = settings_in_force.look_at_file(library), library.settings.captures.keep_warm
    while True:
        looked_s = time.monotonic()
        watch.look(library)
        now_s = time.monotonic()
        known = partitions.known(watch.timelapses, is_sure=not watch.trouble)
        on_disk = OnDisk(timelapses=watch.timelapses, n_waiting=watch.n_waiting)
        in_flight = partitions.in_flight(known)
        decision = decide(on_disk, known, in_flight, cursor, now_s=time.time(), keep_warm=keep_warm)
        if decision.add or decision.retire:
            deadline_s = min(deadline_s, now_s + _PATIENCE_S)
        is_changed = settings_in_force.look_at_file(library) != before  # the next tick opens the library again
        if decision.is_run_due or is_changed or now_s >= deadline_s:
            break
        if not watch.is_behind:
            time.sleep(pause_s(now_s - looked_s))
    run = None
    if decision.is_run_due:
        run = _request_run(context, library, watch)
        cursor = Cursor(attempts=cursor.attempts + 1, asked_at_s=time.time())
    return _TickRequests(run=run, reason=_reason(decision, watch.trouble), decision=decision, cursor=cursor)


def _request_run(context: dg.SensorEvaluationContext, library: Library, watch: Watch) -> dg.RunRequest:
    """Places the list of waiting sources and requests a run for it; the run discards the list when all is done."""
    list_id = f"{time.time_ns() // 1_000_000:x}-{secrets.token_hex(3)}"
    memory.place_list(library, list_id, watch.changes())
    if library.trouble is not None:
        context.log.warning(str(library.trouble))
    config = {"ops": {"follow_captures": {"config": {"changes": list_id}}}}
    return dg.RunRequest(run_key=list_id, run_config=config, tags=settings_trouble.run_tags(library))


def _read_cursor(context: dg.SensorEvaluationContext, library: Library) -> Cursor:
    """Reads the last cursor.

    A list that is still on disk means that a run was requested and has not gone through it; this also holds for a new
    daemon.
    """
    asked_at_s = memory.list_placed_at_s(library)
    if asked_at_s is None:
        return Cursor()
    written = settings_trouble.read_cursor(context.cursor).get("attempts")
    attempts = written if type(written) is int and 0 < written < _MOST_ATTEMPTS else 1
    return Cursor(attempts=attempts, asked_at_s=asked_at_s)


def _reason(decision: Decision, trouble: Mapping[str, str]) -> str:
    lines = [f"{where}: {reason}" for where, reason in sorted(trouble.items())][:_MOST_TROUBLE]
    return "; ".join([decision.reason, *lines])


def _result(context: dg.SensorEvaluationContext, library: Library | None, requests: _TickRequests) -> dg.SensorResult:
    """The tick's result for Dagster; without a run, it says why, and what is wrong with the settings."""
    if library is None:
        return dg.SensorResult(skip_reason=requests.reason, cursor=context.cursor)
    changes: list[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest] = []
    if requests.decision is not None and requests.decision.add:
        changes.append(timelapse_partitions.build_add_request(requests.decision.add))
    if requests.decision is not None and requests.decision.retire:
        changes.append(timelapse_partitions.build_delete_request(requests.decision.retire))
    cursor = context.cursor if requests.cursor is None else json.dumps(asdict(requests.cursor))
    is_news = settings_trouble.is_news(library, context.cursor)
    return dg.SensorResult(
        run_requests=[] if requests.run is None else [requests.run],
        dynamic_partitions_requests=changes,
        skip_reason=settings_trouble.with_trouble(library, requests.reason) if requests.run is None else None,
        cursor=settings_trouble.with_note(library, cursor),
        asset_events=[settings_trouble.evaluation(library, VERIFICATION)] if is_news else [],
    )
