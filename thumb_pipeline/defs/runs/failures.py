"""Turns what stages refuse, and what stood in their way, into failures of a run that say what to do.

Which exceptions these are is said in `stages.library.errors`; whatever else is raised is a fault of the program and
stays one.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import dagster as dg

from thumb_pipeline.defs.runs.words import REPEAT_FAILED_STEPS_TAG
from thumb_pipeline.domain.plain_text import plain_lines
from thumb_pipeline.domain.quantities import human_seconds
from thumb_pipeline.stages.library.errors import INTERRUPTIONS, REFUSALS

REFUSED = "refused_before_anything_changed"
"""Metadata of a failure that changed nothing; a command then ends with the exit code of a refusal."""


COMMAND_TAG = "thumb_pipeline/command"
"""Names the run of a command, which a person watches and repeats."""


@contextmanager
def refusals_as_failures(*, hint: str = "", delays_s: Sequence[float] = ()) -> Iterator[None]:
    """Raises a `dagster.Failure` with the same words.

    Args:
        hint: more to do, after a refusal's own words.
        delays_s: how long the step waits before each further try where the environment stood in the way.

    Raises:
        dagster.Failure: not to be retried where something was refused: it would be again.
        dagster.RetryRequested: a full disk, say, may have space again in a while.
    """
    try:
        yield
    except REFUSALS as refused:
        raise refusal(f"{refused}{hint}", metadata={REFUSED: True}) from refused
    except INTERRUPTIONS as error:
        raise _later(str(error), delays_s) from error


def _later(description: str, delays_s: Sequence[float]) -> dg.Failure | dg.RetryRequested:
    """Another try of the step that asks, or its failure when all were made; a command fails at once."""
    context = dg.OpExecutionContext.get() if delays_s else None
    if context is None or context.run.tags.get(COMMAND_TAG) == context.run_id:
        return dg.Failure(description=description)
    if context.retry_number >= len(delays_s):
        return refusal(f"{description} (tried {context.retry_number + 1} times)")
    wait_s = delays_s[context.retry_number]
    context.log.warning(f"{description} (this run tries again by itself in {human_seconds(wait_s)})")
    return dg.RetryRequested(max_retries=len(delays_s), seconds_to_wait=wait_s)


def refusal(description: str, *, metadata: dict[str, Any] | None = None) -> dg.Failure:
    """A failure that would come again: neither an op nor its run is repeated; lost processes and faults are."""
    with suppress(dg.DagsterInvariantViolationError):  # no op asks: a sensor does, or a resource
        context = dg.OpExecutionContext.get()
        context.instance.add_run_tags(context.run_id, {REPEAT_FAILED_STEPS_TAG: "false"})
    return dg.Failure(description=plain_lines(description), metadata=metadata, allow_retries=False)
