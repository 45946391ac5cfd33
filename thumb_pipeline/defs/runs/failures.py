"""Turns refusals and interruptions of stages into failures of a run that say what to do.

`stages.library.errors` lists these exceptions. Any other exception is a bug in the program and is not converted.
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
"""Metadata key of a failure that changed nothing; a command then ends with the exit code of a refusal."""


COMMAND_TAG = "thumb_pipeline/command"
"""Names the run that a command started; a person watches such a run and repeats it."""


@contextmanager
def refusals_as_failures(*, hint: str = "", delays_s: Sequence[float] = ()) -> Iterator[None]:
    """Turns refusals and interruptions inside the block into a `dagster.Failure` with the same message.

    Args:
        hint: text to add to the message of a refusal.
        delays_s: the seconds to wait before each retry of the step after an interruption.

    Raises:
        dagster.Failure: after a refusal it is not retried, as the retry would be refused too.
        dagster.RetryRequested: after an interruption: a full disk, for example, may have space later.
    """
    try:
        yield
    except REFUSALS as refused:
        raise refusal(f"{refused}{hint}", metadata={REFUSED: True}) from refused
    except INTERRUPTIONS as error:
        raise _choose_retry_or_failure(str(error), delays_s) from error


def _choose_retry_or_failure(description: str, delays_s: Sequence[float]) -> dg.Failure | dg.RetryRequested:
    """A retry of the present step, or its failure when no retries are left; the run of a command fails at once."""
    context = dg.OpExecutionContext.get() if delays_s else None
    if context is None or context.run.tags.get(COMMAND_TAG) == context.run_id:
        return dg.Failure(description=description)
    if context.retry_number >= len(delays_s):
        return refusal(f"{description} (tried {context.retry_number + 1} times)")
    wait_s = delays_s[context.retry_number]
    context.log.warning(f"{description} (this run tries again by itself in {human_seconds(wait_s)})")
    return dg.RetryRequested(max_retries=len(delays_s), seconds_to_wait=wait_s)


def refusal(description: str, *, metadata: dict[str, Any] | None = None) -> dg.Failure:
    """A failure that would recur, so neither the op nor its run is retried; lost processes and bugs are retried."""
    with suppress(dg.DagsterInvariantViolationError):  # there is no op: a sensor or a resource is the caller
        context = dg.OpExecutionContext.get()
        context.instance.add_run_tags(context.run_id, {REPEAT_FAILED_STEPS_TAG: "false"})
    return dg.Failure(description=plain_lines(description), metadata=metadata, allow_retries=False)
