"""Batch sizes that Dagster needs when definitions are loaded, long before a run opens the library."""

import os

import dagster as dg

from thumb_pipeline.defs.resources import DEMO_LIBRARY
from thumb_pipeline.domain.settings import Settings
from thumb_pipeline.stages.library.errors import REFUSALS
from thumb_pipeline.stages.library.service_folders import LIBRARY_VARIABLE
from thumb_pipeline.stages.library.settings_in_force import peek


def timelapses_per_run(root: str = "") -> int:
    """How many timelapses one run of a backfill takes, from the library's settings in force.

    Definitions load with an empty environment and without a library; the default applies then. Writes nothing.

    Args:
        root: folder of the library; if empty, the one that the environment names, else the demo's.
    """
    chosen = root or os.environ.get(LIBRARY_VARIABLE) or DEMO_LIBRARY
    try:
        settings = peek(chosen).settings
    except (*REFUSALS, OSError, ValueError):  # loading must not fail because of the library; runs report what is wrong
        settings = Settings()
    return settings.batches.timelapses_per_run


def backfill_policy(root: str = "") -> dg.BackfillPolicy:
    """The backfill policy of assets by timelapse: several timelapses in one run, as many as the settings say."""
    return dg.BackfillPolicy.multi_run(max_partitions_per_run=timelapses_per_run(root))
