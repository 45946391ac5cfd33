"""`thumbnails`: the variant files and their manifest, made by mapped ops that any executor can distribute."""

import dagster as dg

from thumb_pipeline.defs.jobs.generate import cut_plan, fold_chunks, render_chunk
from thumb_pipeline.defs.partitions import timelapse_partitions


@dg.graph_asset(
    partitions_def=timelapse_partitions,
    ins={"missing_thumbnails": dg.AssetIn(dagster_type=dg.Nothing)},
    group_name="thumbnails",
    kinds={"pillow", "parquet"},
)
def thumbnails(missing_thumbnails):  # type: ignore[no-untyped-def]  # graph inputs are Dagster's own placeholders
    """Every variant of every source, rendered from a fresh inventory and plan.

    With `force` in the config of `cut_plan`, everything is rendered again. The checks of `verification_report` show how
    complete and intact they are.
    """
    return fold_chunks(cut_plan(missing_thumbnails).map(render_chunk).collect())
