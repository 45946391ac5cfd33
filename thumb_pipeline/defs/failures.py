"""Turns what stages refuse, and what stood in their way, into failures of a run that say what to do.

Which exceptions these are is said in `stages.errors`; whatever else is raised is a fault of the program and stays one.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from thumb_pipeline.stages.errors import INTERRUPTIONS, REFUSALS

RETRY_STEP_FAILURES_TAG = "dagster/retry_on_asset_or_op_failure"

REFUSED = "refused_before_anything_changed"
"""Metadata of a failure that changed nothing; a command then ends with the exit code of a refusal."""


@contextmanager
def refusals_as_failures(*, hint: str = "") -> Iterator[None]:
    """Raises a `dagster.Failure` with the same words.

    Args:
        hint: more to do, after a refusal's own words.

    Raises:
        dagster.Failure: not to be retried where something was refused: it would be again.
    """
    try:
        yield
    except REFUSALS as refused:
        _end_for_good()
        raise dg.Failure(description=f"{refused}{hint}", metadata={REFUSED: True}, allow_retries=False) from refused
    except INTERRUPTIONS as error:
        raise dg.Failure(description=str(error)) from error


def _end_for_good() -> None:
    """Keeps Dagster's daemon from repeating a run that would be refused again; lost processes and faults it repeats."""
    try:
        context = dg.OpExecutionContext.get()
    except dg.DagsterInvariantViolationError:
        return  # no run asks: a sensor does, or a resource
    context.instance.add_run_tags(context.run_id, {RETRY_STEP_FAILURES_TAG: "false"})
