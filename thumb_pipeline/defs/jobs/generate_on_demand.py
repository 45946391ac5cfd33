"""`generate_on_demand`: the job that renders named sources of a timelapse at once, for a dashboard or a person.

It goes first in the queue, has slots of its own there (`runs.lanes`), and is in no pool: bulk work never delays it.
"""

from typing import Any

import dagster as dg
from pydantic import Field

from thumb_pipeline.defs.partitions import register_timelapses
from thumb_pipeline.defs.resources import LibraryResource
from thumb_pipeline.defs.run_config import RunConfig
from thumb_pipeline.defs.runs import lanes
from thumb_pipeline.defs.runs.failures import refusals_as_failures
from thumb_pipeline.defs.runs.words import NO_RETRY
from thumb_pipeline.defs.shown.materializing import materialize
from thumb_pipeline.stages.inventory.selection import Selection
from thumb_pipeline.stages.rendering.chunk import TimelapseCounts
from thumb_pipeline.stages.rendering.on_demand import MOST_SOURCES, render_now
from thumb_pipeline.stages.rendering.work_orders import found_counts


class OnDemandConfig(RunConfig):
    """Which pictures to render; by default, only what is missing or stale is made."""

    timelapse: str = Field(description="A key like camera-1/timelapse-2.")
    sources: list[str] = Field(description=f"Names of files in its frames/, at most {MOST_SOURCES}.")
    variants: list[str] = Field(default=[], description="Only these variants; empty means all.")
    force: bool = Field(default=False, description="Render again what is right already.")
    retry_failed: bool = Field(default=False, description="Try refused sources again although nothing changed.")

    def selection(self) -> Selection:
        """The selection of these sources."""
        return Selection(
            timelapses=(self.timelapse,),
            sources=tuple(self.sources),
            variants=tuple(self.variants),
            force=self.force,
            retry_failed=self.retry_failed,
        )


@dg.op(out=dg.Out(dict), config_schema=OnDemandConfig.as_field())
def render_named(context: dg.OpExecutionContext, library: LibraryResource) -> dg.Output[dict[str, Any]]:
    """Renders the named sources; reports how many variants were made or already right, and why others failed."""
    config, opened = OnDemandConfig.of(context), library.open(context.instance)
    with refusals_as_failures(), opened.lease() as lease:
        plan, result = render_now(opened, config.selection(), lease, context.run_id)
    for source, reason, detail in result.failures:
        context.log.warning(f"{source}: {reason} ({detail})")
    register_timelapses(context.instance, [config.timelapse])
    for key, found in found_counts(plan).items():
        materialize(context, opened, key, found, result)
    made = result.by_timelapse.get(config.timelapse, TimelapseCounts())
    numbers = {
        "rendered": made.rendered,
        "unchanged": plan.n_valid + plan.n_adopted + made.unchanged,
        "failed": plan.n_failed + made.failed,
        "pending": plan.n_pending + made.pending,
    }
    return dg.Output(numbers, metadata={name: dg.MetadataValue.int(n) for name, n in numbers.items()})


@dg.graph(name="generate_on_demand")
def generate_on_demand_graph() -> None:
    """Renders named sources of a timelapse at once. Whoever needs a picture launches it, from the UI or by GraphQL."""
    render_named()


generate_on_demand = generate_on_demand_graph.to_job(
    executor_def=dg.in_process_executor,
    tags={**lanes.ON_DEMAND, **NO_RETRY},  # the caller asks again
)
