"""`new_captures_sensor`: watches the library and asks for a run when frames wait.

Only gathers and asks: what moved is found by `stages.captures.watch`, what follows from it is decided in
`domain.watching`.
"""

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, replace

import dagster as dg

from thumb_pipeline.defs import settings_trouble
from thumb_pipeline.defs.jobs.new_captures import new_captures
from thumb_pipeline.defs.partitions import timelapse_partitions
from thumb_pipeline.defs.resources import LibraryResource
from thumb_pipeline.defs.runs.in_flight import attending_for_s, is_counted_on, unfinished_run_ids
from thumb_pipeline.defs.runs.lost_runs import ask_again_for_lost_retries
from thumb_pipeline.defs.runs.words import TIMELAPSES
from thumb_pipeline.defs.verification import VERIFICATION
from thumb_pipeline.domain.layout import is_key
from thumb_pipeline.domain.watching import Cursor, Decision, InFlight, Known, OnDisk, decide, is_successor_due
from thumb_pipeline.stages.captures import memory
from thumb_pipeline.stages.captures.follow import pause_s
from thumb_pipeline.stages.captures.watch import Watch
from thumb_pipeline.stages.inventory.listing import discover_apart
from thumb_pipeline.stages.library import settings_in_force
from thumb_pipeline.stages.library.errors import INTERRUPTIONS, REFUSALS
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.removal.retire_timelapses import find_with_sources
from thumb_pipeline.storage.leases import LockTimeout

_TICK_S = 25.0
"""How long a tick watches. The daemon starts ticks at most every five seconds, so what counts is to be in one."""

_ASK_AGAIN_S = 1.0
_MOST_TROUBLE = 10
_MOST_ATTEMPTS = 1_000_000
_PATIENCE_S = 1.0  # a new folder is about to get its first frame: both in one tick


@dg.sensor(
    job_name=new_captures.name,  # given the job itself, Dagster 1.13 warns of a beta parameter that nobody set
    minimum_interval_seconds=1,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Watches the library's folders and asks for one run of new_captures when frames are new or changed, in "
        "however many timelapses; adds partitions for new timelapses and retires those that were forgotten."
    ),
)
def new_captures_sensor(context: dg.SensorEvaluationContext, library: LibraryResource) -> dg.SensorResult:
    """One tick: watches until there is something to ask for, at most 25 s."""
    deadline_s = time.monotonic() + _TICK_S
    try:
        opened = library.open(context.instance)
        before = settings_in_force.look_at_file(opened)
        ask_again_for_lost_retries(context.instance)
        while ages_s := attending_for_s(context.instance, opened):
            if is_successor_due(list(ages_s.values())):
                return dg.SensorResult(run_requests=[_successor(*ages_s)], cursor=context.cursor)
            if time.monotonic() > deadline_s or settings_in_force.look_at_file(opened) != before:
                return _beside_a_run(context, opened)
            time.sleep(_ASK_AGAIN_S)
        with memory.watching(opened):
            return _watch(context, opened, deadline_s)
    except LockTimeout:
        return dg.SensorResult(skip_reason="another process watches this library", cursor=context.cursor)
    except (*REFUSALS, *INTERRUPTIONS) as refused:
        return dg.SensorResult(skip_reason=str(refused), cursor=context.cursor)
    except dg.Failure as failure:
        return dg.SensorResult(skip_reason=failure.description, cursor=context.cursor)


def _successor(run_id: str) -> dg.RunRequest:
    """The run that waits until this one ends, and goes on at once; its key makes ticks and daemons ask for one."""
    return dg.RunRequest(run_key=f"after-{run_id}")


def _watch(context: dg.SensorEvaluationContext, library: Library, deadline_s: float) -> dg.SensorResult:
    watch = Watch.begin(library, lambda: unfinished_run_ids(context.instance))
    partitions = _Partitions(context.instance, library)
    cursor = _cursor(context, library)
    before = settings_in_force.look_at_file(library)
    while True:
        looked_s = time.monotonic()
        watch.look(library)
        now_s = time.monotonic()
        known = partitions.known(watch.timelapses, is_sure=not watch.trouble)
        on_disk = OnDisk(timelapses=watch.timelapses, n_waiting=watch.n_waiting)
        decision = decide(
            on_disk,
            known,
            partitions.in_flight(known),
            cursor,
            now_s=time.time(),
            keep_warm=library.settings.captures.keep_warm,
        )
        if decision.add or decision.retire:
            deadline_s = min(deadline_s, now_s + _PATIENCE_S)
        is_changed = settings_in_force.look_at_file(library) != before  # the next tick opens the library afresh
        if decision.is_run_due or is_changed or now_s >= deadline_s:
            return _ask(context, library, watch, decision, cursor)
        if not watch.is_behind:
            time.sleep(pause_s(now_s - looked_s))


def _beside_a_run(context: dg.SensorEvaluationContext, library: Library) -> dg.SensorResult:
    """What is left to decide while a run attends to sources: partitions, and what to say."""
    found = discover_apart(library)
    partitions, timelapses = _Partitions(context.instance, library), frozenset(found.keys)
    known = partitions.known(timelapses, is_sure=not found.trouble)
    in_flight = replace(partitions.in_flight(known), is_attended=True)
    decision = decide(OnDisk(timelapses=timelapses), known, in_flight, Cursor(), now_s=time.time())
    return _told(context, library, decision, cursor=context.cursor, trouble=_lines(found.trouble))


class _Partitions:
    """The partitions as the tick found them; which are forgotten is asked again only when folders come or go."""

    def __init__(self, instance: dg.DagsterInstance, library: Library) -> None:
        self._instance = instance
        self._library = library
        self._keys = frozenset(instance.get_dynamic_partitions(TIMELAPSES))
        self._strange = frozenset(key for key in self._keys if not is_key(key))
        self._gone = frozenset[str]()
        self._forgotten = frozenset[str]()

    def known(self, timelapses: AbstractSet[str], *, is_sure: bool) -> Known:
        """What is known of them; none counts as forgotten while a folder cannot be read.

        A partition that no timelapse can have was put there by somebody, and counts as forgotten.
        """
        gone = self._keys - timelapses
        if gone != self._gone:
            self._gone = gone
            self._forgotten = gone - find_with_sources(self._library, gone - self._strange)
        return Known(partitions=self._keys, forgotten=self._forgotten if is_sure else self._strange)

    def in_flight(self, known: Known) -> InFlight:
        """Runs other than those for new captures may count on any partition; asked only where one is to go."""
        is_any = bool(known.forgotten) and is_counted_on(self._instance)
        return InFlight(timelapses=self._keys if is_any else frozenset())


def _news(context: dg.SensorEvaluationContext, library: Library) -> list[dg.AssetCheckEvaluation]:
    """The check of the settings, where it says something else than before."""
    is_news = settings_trouble.is_news(library, context.cursor)
    return [settings_trouble.evaluation(library, VERIFICATION)] if is_news else []


def _ask(
    context: dg.SensorEvaluationContext, library: Library, watch: Watch, decision: Decision, cursor: Cursor
) -> dg.SensorResult:
    """What the decision asks Dagster for, in its words."""
    runs = []
    if decision.is_run_due:
        list_id = f"{time.time_ns() // 1_000_000:x}-{secrets.token_hex(3)}"
        memory.place_list(library, list_id, watch.changes())
        config = {"ops": {"follow_captures": {"config": {"changes": list_id}}}}
        runs.append(dg.RunRequest(run_key=list_id, run_config=config, tags=settings_trouble.run_tags(library)))
        if library.trouble is not None:
            context.log.warning(str(library.trouble))
        cursor = Cursor(attempts=cursor.attempts + 1, asked_at_s=time.time())
    trouble = _lines(watch.trouble)
    return _told(context, library, decision, cursor=json.dumps(asdict(cursor)), runs=runs, trouble=trouble)


def _lines(trouble: Mapping[str, str]) -> list[str]:
    return [f"{where}: {reason}" for where, reason in sorted(trouble.items())][:_MOST_TROUBLE]


def _told(
    context: dg.SensorEvaluationContext,
    library: Library,
    decision: Decision,
    *,
    cursor: str | None,
    runs: Sequence[dg.RunRequest] = (),
    trouble: Sequence[str] = (),
) -> dg.SensorResult:
    """A tick's result; one that asks for no run says why, and what is wrong with the settings."""
    reason = settings_trouble.with_trouble(library, "; ".join([decision.reason, *trouble]))
    changes: list[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest] = []
    if decision.add:
        changes.append(timelapse_partitions.build_add_request(decision.add))
    if decision.retire:
        changes.append(timelapse_partitions.build_delete_request(decision.retire))
    return dg.SensorResult(
        run_requests=list(runs),
        dynamic_partitions_requests=changes,
        skip_reason=None if runs else reason,
        cursor=settings_trouble.with_note(library, cursor),
        asset_events=_news(context, library),
    )


def _cursor(context: dg.SensorEvaluationContext, library: Library) -> Cursor:
    """The last cursor; a list that is still there tells of a run that has not got to its end, also to a new daemon."""
    asked_at_s = memory.list_placed_at_s(library)
    if asked_at_s is None:
        return Cursor()
    said = settings_trouble.read_cursor(context.cursor).get("attempts")
    attempts = said if type(said) is int and 0 < said < _MOST_ATTEMPTS else 1
    return Cursor(attempts=attempts, asked_at_s=asked_at_s)
