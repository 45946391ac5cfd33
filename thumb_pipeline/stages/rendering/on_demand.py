"""Renders a few named sources of one timelapse now, for somebody who waits for them.

It costs by the names and not by the archive. New captures, which nobody names, are `captures.follow`'; everything else
is planned and carried out by `plan` and `chunk`.
"""

from thumb_pipeline.stages.inventory.selection import Selection
from thumb_pipeline.stages.library.library import Lease, Library
from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline.stages.planning.plan import Plan, make_plan
from thumb_pipeline.stages.rendering import accept_plan
from thumb_pipeline.stages.rendering.chunk import ChunkResult, render_chunk

MOST_SOURCES = 200
"""In one request: more are no single pictures any more, and would be in the way of the next one."""


def render_now(library: Library, selection: Selection, lease: Lease, run_id: str) -> tuple[Plan, ChunkResult]:
    """Plans, records and renders what is named; workers of other work make room. Returns what was found and done.

    Raises:
        Refused: it names no source, too many, or one that is not there.
        ArchiveUnavailable: the folder cannot be read.
        CannotWrite: the disk does not take files.
    """
    if not selection.sources:
        raise Refused("no source is named; for a whole timelapse: thumb-pipeline generate --timelapse KEY")
    if len(selection.sources) > MOST_SOURCES:
        raise Refused(
            f"{len(selection.sources)} sources are named, and on demand {MOST_SOURCES} may be; "
            "for more: thumb-pipeline generate"
        )
    urgent = library.urgently()
    plan = make_plan(urgent, selection, lease)
    accept_plan.record(urgent, plan)
    result = ChunkResult() if plan.rows.is_empty() else render_chunk(urgent, plan.rows, lease, run_id=run_id)
    return plan, result
