"""The jobs: `generate` for any set of timelapses in one run."""

import dagster as dg

from thumb_pipeline.defs.render_ops import render_chunk, report_order, take_order


@dg.graph(name="generate")
def generate_graph() -> None:
    """Plans and renders what is missing or stale, in any set of timelapses, in one run.

    Only timelapses with work enter it. The command `thumb-pipeline generate` runs this job.
    """
    report_order(take_order().map(render_chunk).collect())


generate = generate_graph.to_job(executor_def=dg.in_process_executor)
