"""The op behind the job `verify`: verifies, reports what is new, retires what is gone, asks every check."""

from collections.abc import Generator, Iterator
from typing import Any

import dagster as dg

from thumb_pipeline.defs.config import VerifyConfig
from thumb_pipeline.defs.failures import refusals_as_failures
from thumb_pipeline.defs.partitions import register_timelapses, retire_timelapses
from thumb_pipeline.defs.report_metadata import unknown_folder_metadata
from thumb_pipeline.defs.resources import LibraryResource
from thumb_pipeline.defs.verification import evaluations, never_shown, reported
from thumb_pipeline.stages import verdict_words, verdicts
from thumb_pipeline.stages.library import Library
from thumb_pipeline.stages.listing import discover
from thumb_pipeline.stages.verify import verified_timelapses, verify


@dg.op(out=dg.Out(dict))
def verify_timelapses(
    context: dg.OpExecutionContext, config: VerifyConfig, library: LibraryResource
) -> Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation | dg.Output[dict[str, Any]]]:
    """Verifies the chosen timelapses one batch after the other; what is found is kept and reported as it is found."""
    opened = library.open(context.instance)
    with refusals_as_failures():
        keys = verified_timelapses(opened, config.timelapses)
        register_timelapses(context.instance, keys)
        totals = yield from _verified(context, opened, keys)
        totals["retired"] = len(retire_timelapses(opened, context.instance, context.run_id, context.log))
        yield dg.AssetMaterialization("unknown_folders", metadata=unknown_folder_metadata(discover(opened)))
        yield from evaluations(opened)
    yield dg.Output(totals)


def _verified(
    context: dg.OpExecutionContext, library: Library, keys: list[str]
) -> Generator[dg.AssetMaterialization, None, dict[str, int]]:
    totals: dict[str, int] = {"sources": 0}
    unseen = never_shown(context.instance, keys)
    with library.lease() as lease:
        for part in verify(library, keys, lease):
            verdicts.keep(library, part)
            yield from reported(library, part, unseen)
            counts = {"sources": int(part.timelapses["sources"].sum()), **verdict_words.states(part.verdicts)}
            totals = {name: totals.get(name, 0) + n for name, n in counts.items()}
    return totals
