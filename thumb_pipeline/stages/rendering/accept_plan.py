"""Records what a plan found to be right already, before anything is rendered: inventory, adoptions, clean-up.

`chunk` records what rendering does, as it goes.
"""

import polars as pl

from thumb_pipeline.datasets.rows import by_timelapse
from thumb_pipeline.domain.plans import RecordState
from thumb_pipeline.stages.examining import damage
from thumb_pipeline.stages.inventory.survey import accept
from thumb_pipeline.stages.library import clean_up
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.planning.plan import Plan


def record(library: Library, plan: Plan) -> None:
    """Merges a plan's findings into the tables, and removes the unfinished files it found whose writers were killed."""
    for part in plan.parts:
        accept(library, part.survey)
        for key, rows in by_timelapse(part.adopted).items():
            library.manifest.merge(key, rows)
        _forget_records(library, part.survey.vanished)
        for folder, found in part.temporaries.items():
            clean_up.clean_folder(library, folder, found)


def keep_plan(library: Library, plan: Plan, keys: list[str]) -> None:
    """Stores a plan as the last one of its timelapses, for people to read."""
    rows = by_timelapse(plan.rows)
    for key in keys:
        library.last_plan.replace(key, rows.get(key, library.last_plan.schema.empty()), [key])


def _forget_records(library: Library, vanished: pl.DataFrame) -> None:
    """Drops refusals and damage of vanished sources; records of their variants stay for reports, as the files do."""
    for key, gone in by_timelapse(vanished).items():
        names, is_refused = gone["source_name"].to_list(), pl.col("state") == RecordState.FAILED
        library.manifest.take_out(key, library.manifest.read([key], names=names, where=is_refused))
        damage.forget_sources(library, key, names)
