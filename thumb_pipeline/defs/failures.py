"""Turns what stages refuse, and what stood in their way, into failures of a run that say what to do.

Which exceptions these are is said in `stages.errors`; whatever else is raised is a fault of the program and stays one.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import dagster as dg

from thumb_pipeline.stages.errors import INTERRUPTIONS, REFUSALS

_REPEAT_FAILED_STEPS_TAG = "dagster/retry_on_asset_or_op_failure"

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
        raise refusal(f"{refused}{hint}", metadata={REFUSED: True}) from refused
    except INTERRUPTIONS as error:
        raise dg.Failure(description=str(error)) from error


def refusal(description: str, *, metadata: dict[str, Any] | None = None) -> dg.Failure:
    """A failure that would come again: neither an op nor its run is repeated; lost processes and faults are."""
    with suppress(dg.DagsterInvariantViolationError):  # no op asks: a sensor does, or a resource
        context = dg.OpExecutionContext.get()
        context.instance.add_run_tags(context.run_id, {_REPEAT_FAILED_STEPS_TAG: "false"})
    return dg.Failure(description=description, metadata=metadata, allow_retries=False)
