"""The jobs `verify` and `verify_rolling`: verify, report what changed, retire what is gone, evaluate every check."""

from collections.abc import Generator, Iterator
from typing import Any

import dagster as dg

from thumb_pipeline.datasets.schemas import VARIANT_KEY
from thumb_pipeline.defs.config import RollingConfig, VerifyConfig
from thumb_pipeline.defs.partitions import register_timelapses, retire_timelapses
from thumb_pipeline.defs.resources import LibraryResource
from thumb_pipeline.defs.runs import lanes
from thumb_pipeline.defs.runs.failures import refusals_as_failures
from thumb_pipeline.defs.shown.report_metadata import unknown_folder_metadata
from thumb_pipeline.defs.shown.reporting import table
from thumb_pipeline.defs.verification import evaluate_checks, find_never_shown, materialize_news
from thumb_pipeline.stages.inventory.listing import discover
from thumb_pipeline.stages.inventory.selection import find_timelapses
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.verification import verdicts, words
from thumb_pipeline.stages.verification.rolling import Budget, budget_of, roll
from thumb_pipeline.stages.verification.verify import verify as verify_library
from thumb_pipeline.storage import stopping


@dg.op(out=dg.Out(dict), config_schema=VerifyConfig.as_field())
def verify_timelapses(
    context: dg.OpExecutionContext, library: LibraryResource
) -> Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation | dg.Output[dict[str, Any]]]:
    """Verifies the chosen timelapses one batch after the other; each batch is kept and reported at once."""
    config, opened = VerifyConfig.of(context), library.open(context.instance)
    with refusals_as_failures():
        keys = find_timelapses(opened, config.timelapses)
        register_timelapses(context.instance, keys)
        totals = yield from _verify_batches(context, opened, keys, deep=config.deep)
        totals["retired"] = len(retire_timelapses(opened, context.instance, context.run_id, context.log))
        yield dg.AssetMaterialization("unknown_folders", metadata=unknown_folder_metadata(discover(opened)))
        yield from evaluate_checks(opened)
    yield dg.Output(totals)


@dg.op(out=dg.Out(dict), config_schema=RollingConfig.as_field())
def verify_oldest(
    context: dg.OpExecutionContext, library: LibraryResource
) -> Iterator[dg.AssetCheckEvaluation | dg.Output[dict[str, Any]]]:
    """Opens the sources that were looked at longest ago, with their variants, until the budget is used."""
    config, opened = RollingConfig.of(context), library.open(context.instance)
    allowed = budget_of(opened)
    budget = Budget(n_bytes=config.n_bytes or allowed.n_bytes, seconds=config.seconds or allowed.seconds)
    with refusals_as_failures(), opened.lease() as lease:
        done = roll(opened, lease, budget=budget)
        yield from evaluate_checks(opened)
    numbers = {
        "sources": done.n_sources,
        "variants": done.n_variants,
        "bytes": done.n_bytes,
        "wrong": done.n_wrong,
        "left": done.n_left,
    }
    metadata = {name: dg.MetadataValue.int(n) for name, n in numbers.items()}
    shown = done.wrong.select(*VARIANT_KEY, "state", "detail")
    oldest = dg.MetadataValue.text(str(done.oldest_at or "-"))
    yield dg.Output(numbers, metadata={**metadata, "oldest_look": oldest, "found_wrong": table(shown)})


def _verify_batches(
    context: dg.OpExecutionContext, library: Library, keys: list[str], *, deep: bool
) -> Generator[dg.AssetMaterialization, None, dict[str, int]]:
    totals: dict[str, int] = {"sources": 0}
    unseen = find_never_shown(context.instance, keys)
    with library.lease() as lease:
        for part in verify_library(library, keys, lease, deep=deep):
            verdicts.keep(library, part)
            yield from materialize_news(library, part, unseen)
            stopping.listen()  # Dagster takes the signal handlers back whenever an op yields something
            counts = {"sources": int(part.timelapses["sources"].sum()), **words.states(part.verdicts)}
            totals = {name: totals.get(name, 0) + n for name, n in counts.items()}
    return totals


@dg.graph(name="verify")
def verify_graph() -> None:
    """Compares every variant with what should be there, in any set of timelapses, in one run; read-only.

    Reports the timelapses whose verdict differs from the last report, and evaluates every check of the whole library.
    """
    verify_timelapses()


@dg.graph(name="verify_rolling")
def verify_rolling_graph() -> None:
    """Reads a part of the library to the last byte, first what was looked at longest ago; read-only."""
    verify_oldest()


verify = verify_graph.to_job(executor_def=dg.in_process_executor, tags=lanes.MAINTENANCE)
verify_rolling = verify_rolling_graph.to_job(executor_def=dg.in_process_executor, tags=lanes.MAINTENANCE)
