"""Plans timelapses so that one that cannot be planned does not stop the others.

For unattended work. A command refuses as a whole instead (decision 005).
"""

from dataclasses import replace

from thumb_pipeline.stages.inventory.listing import discover_apart
from thumb_pipeline.stages.inventory.selection import Selection
from thumb_pipeline.stages.library.errors import REFUSALS
from thumb_pipeline.stages.library.library import Lease, Library
from thumb_pipeline.stages.planning.plan import Plan, make_plan


def plan_apart(library: Library, selection: Selection, lease: Lease) -> tuple[Plan, dict[str, str]]:
    """Plans all timelapses that can be planned; returns the plan, and the others with the reason.

    A camera whose folder cannot be read is left out as a whole: under its own name, or under the keys of its selected
    timelapses. Where a plan is refused, its halves are planned again: one bad timelapse costs about two more plans.

    Raises:
        ArchiveUnavailable: the folder of all cameras cannot be listed.
    """
    found = discover_apart(library)
    left_out = found.reasons_against(selection.timelapses)
    keys = [key for key in selection.timelapses or (*found.keys, *found.vanished) if key not in left_out]
    parts = [part for plan in _plan_or_split(library, selection, tuple(keys), lease, left_out) for part in plan.parts]
    return Plan(parts=parts, unmatched=found.unmatched), left_out


def _plan_or_split(
    library: Library, selection: Selection, keys: tuple[str, ...], lease: Lease, left_out: dict[str, str]
) -> list[Plan]:
    if not keys:
        return []
    try:
        return [make_plan(library, replace(selection, timelapses=keys), lease)]
    except REFUSALS as refused:
        if len(keys) == 1:
            left_out[keys[0]] = str(refused)
            return []
    half = len(keys) // 2
    return [
        *_plan_or_split(library, selection, keys[:half], lease, left_out),
        *_plan_or_split(library, selection, keys[half:], lease, left_out),
    ]
