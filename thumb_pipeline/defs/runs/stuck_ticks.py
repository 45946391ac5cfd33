"""Frees sensors and schedules whose last tick lies in the future, which keeps Dagster from evaluating them.

Dagster's daemon notes when it evaluated each of them, and evaluates again only after that time. After a clock had run
ahead, new captures and every nightly job waited until the clock had caught up.
"""

from typing import Any

import dagster as dg

from thumb_pipeline.domain.clocks import LATEST_S, SLACK_S

_STAMPS = (
    "last_tick_timestamp",
    "last_tick_start_timestamp",
    "last_tick_success_timestamp",
    "last_sensor_start_timestamp",
    "start_timestamp",
    "last_iteration_timestamp",
)
"""The times that Dagster 1.13 notes for a sensor or a schedule, in seconds since 1970."""


def free_stuck_ticks(instance: dg.DagsterInstance, *, now_s: float) -> list[str]:
    """Sets times that lie in the future to now; returns the names of the sensors and schedules that this frees.

    If a tick of a sensor or schedule lies in the future, all its ticks are deleted: Dagster cannot delete the latest
    ones alone.
    """
    freed = []
    for state in instance.all_instigator_state():
        data = state.instigator_data
        ahead: dict[str, Any] = {
            name: now_s for name in _STAMPS if (getattr(data, name, None) or 0.0) > now_s + SLACK_S
        }
        if data is not None and ahead:
            instance.update_instigator_state(state.with_data(data._replace(**ahead)))
        ids = (state.instigator_origin_id, state.selector_id)
        if instance.get_ticks(*ids, after=now_s + SLACK_S, limit=1):
            instance.purge_ticks(*ids, before=LATEST_S)
        elif not ahead:
            continue
        freed.append(state.instigator_name)
    return freed
