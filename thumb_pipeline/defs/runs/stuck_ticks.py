"""Frees sensors and schedules that Dagster asks nothing before a time that is still to come.

Its daemon notes when it asked each of them, and asks again after that. What it noted by a clock that ran ahead kept new
captures and every night waiting until the clock had caught up.
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
"""What Dagster 1.13 notes of a sensor or a schedule, in seconds since 1970."""


def free_stuck_ticks(instance: dg.DagsterInstance, *, now_s: float) -> list[str]:
    """Makes times that are still to come those of now; returns the names of what was held back by them.

    With such a time, all ticks of that sensor or schedule go, as Dagster can be asked to delete none but the oldest.
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
