"""Renders a few named sources now, while a person or a program waits for them.

The cost grows with the number of names, not with the archive. `captures.follow` renders new captures, which nobody
names; `plan` and `chunk` plan and carry out everything else.
"""

from thumb_pipeline.stages.inventory.selection import Selection
from thumb_pipeline.stages.library.library import Lease, Library
from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline.stages.planning.plan import Plan, make_plan
from thumb_pipeline.stages.rendering import accept_plan
from thumb_pipeline.stages.rendering.chunk import ChunkResult, render_chunk

MOST_SOURCES = 200
"""How many sources one request may name: more are no single pictures any more, and would delay the next request."""


def render_now(library: Library, selection: Selection, lease: Lease, run_id: str) -> tuple[Plan, ChunkResult]:
    """Plans, records and renders the named sources; workers of other work yield. Returns the plan and the result.

    Raises:
        Refused: no source is named, or too many are, or one is not there.
        ArchiveUnavailable: the folder cannot be read.
        CannotWrite: the disk does not take files.
    """
    if not selection.sources:
        raise Refused("no source is named; for a whole timelapse: thumb-pipeline generate --timelapse KEY")
    if len(selection.sources) > MOST_SOURCES:
        raise Refused(
            f"{len(selection.sources)} sources are named, and one request on demand takes at most {MOST_SOURCES}; "
            "for more: thumb-pipeline generate"
        )
    urgent = library.urgently()
    plan = make_plan(urgent, selection, lease)
    accept_plan.record(urgent, plan)
    result = ChunkResult() if plan.rows.is_empty() else render_chunk(urgent, plan.rows, lease, run_id=run_id)
    return plan, result
