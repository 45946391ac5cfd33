"""The asset checks: questions about the whole library, evaluated whenever `verification_report` is materialized.

The answers come from the kept verdicts of all verifications (`stages.verification.health`), never from the last
materialized partition. A check covers the whole library, so it has no partitions.
"""

from collections.abc import Iterator

import dagster as dg

from thumb_pipeline.defs.resources import LibraryResource
from thumb_pipeline.defs.runs.failures import refusals_as_failures
from thumb_pipeline.defs.settings_trouble import CHECK_DESCRIPTION, SETTINGS_CHECK
from thumb_pipeline.defs.verification import DESCRIPTIONS, VERIFICATION, evaluate_checks
from thumb_pipeline.stages.verification.health import Question

_OF_ALL = (
    "Covers all timelapses, each by its last verification, not only those materialized now. A timelapse that was never "
    "verified also fails the check; one that is gone and was accepted as gone does not count."
)


@dg.multi_asset_check(
    name="library_checks",
    specs=[
        dg.AssetCheckSpec(question.value, asset=VERIFICATION, description=f"{DESCRIPTIONS[question]} {_OF_ALL}")
        for question in Question
    ]
    + [dg.AssetCheckSpec(SETTINGS_CHECK, asset=VERIFICATION, description=CHECK_DESCRIPTION)],
    can_subset=True,
)
def library_checks(context: dg.AssetCheckExecutionContext, library: LibraryResource) -> Iterator[dg.AssetCheckResult]:
    """Evaluates the selected checks from one reading of the kept verdicts."""
    selected = {key.name for key in context.op_execution_context.selected_asset_check_keys}
    with refusals_as_failures():
        evaluations = list(evaluate_checks(library.open(context.instance)))
    for evaluation in evaluations:
        if evaluation.check_name in selected:
            yield dg.AssetCheckResult(
                asset_key=evaluation.asset_key,
                check_name=evaluation.check_name,
                passed=evaluation.passed,
                severity=evaluation.severity,
                description=evaluation.description,
                metadata=evaluation.metadata,
            )
