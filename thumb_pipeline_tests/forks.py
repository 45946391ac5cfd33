"""Processes forked from one that has imported what they need: a fork costs milliseconds, imports cost a second."""

import multiprocessing
from multiprocessing.context import ForkServerContext

from thumb_pipeline.cli.app import COMMANDS

_IMPORTED = (
    "thumb_pipeline_tests.stages.operations",
    "thumb_pipeline_tests.cli.faults",
    *(f"thumb_pipeline.cli.commands.{name}" for name in COMMANDS),
    *("email.parser", "pyarrow.parquet"),  # loaded late, and another user may not read where they lie
)


def fork_starter() -> ForkServerContext:
    """Starts such processes. All tests of a process share one server, and who asks first decides what it holds."""
    starter = multiprocessing.get_context("forkserver")
    starter.set_forkserver_preload(list(_IMPORTED))
    return starter
