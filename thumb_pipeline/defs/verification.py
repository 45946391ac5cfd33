"""Verification in Dagster, shared by the assets, the job `verify` and the jobs that change something.

`stages.verification.verify` does the verification; `shown.report_metadata` builds the reports.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import dagster as dg

from thumb_pipeline.defs import settings_trouble
from thumb_pipeline.defs.shown.report_metadata import check_metadata, orphan_metadata, verification_metadata
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.verification import health, verdicts
from thumb_pipeline.stages.verification.health import Question
from thumb_pipeline.stages.verification.reports import Report, report, reports, together
from thumb_pipeline.stages.verification.verify import VerifiedPart, verify

VERIFICATION = "verification_report"
ORPHANS = "orphan_report"


def verify_and_report(library: Library, keys: Sequence[str], *, mark: bool) -> Report:
    """Verifies timelapses, keeps the verdicts and returns one report of them all.

    Args:
        library: the library.
        keys: the timelapses.
        mark: whether both reports will be materialized, so that the verdicts count as reported.
    """
    parts = []
    with library.lease() as lease:
        for part in verify(library, keys, lease):
            verdicts.keep(library, part)
            if mark:
                verdicts.mark_reported(library, part, keys)
            parts.append(report(part))
    return together(parts)


def materialize_news(library: Library, part: VerifiedPart, never_shown: set[str]) -> Iterator[dg.AssetMaterialization]:
    """Materializes both reports for those timelapses of a verification whose reports have changed.

    Timelapses that are as they were at their last report are left out: recording two materializations takes 30 ms to
    60 ms, which for thousands of timelapses every night would be most of the run and add nothing to read.

    Args:
        library: the library.
        part: the verification, which is already kept.
        never_shown: timelapses to report in any case.
    """
    news = {*verdicts.find_unreported(library, part), *(never_shown & {*part.timelapses["timelapse"]})}
    for key, mine in reports(part, sorted(news)):
        yield dg.AssetMaterialization(VERIFICATION, partition=key, metadata=verification_metadata(library, mine))
        yield dg.AssetMaterialization(ORPHANS, partition=key, metadata=orphan_metadata(mine))
    verdicts.mark_reported(library, part, sorted(news))


def find_never_shown(instance: dg.DagsterInstance, keys: Sequence[str]) -> set[str]:
    """Finds the timelapses that lack a report in this instance, even if they were reported to another instance."""
    verified, orphans = (instance.get_materialized_partitions(dg.AssetKey(name)) for name in (VERIFICATION, ORPHANS))
    return set(keys) - (verified & orphans)


def evaluate_checks(library: Library) -> Iterator[dg.AssetCheckEvaluation]:
    """Evaluates every check of the whole library, from the kept verdicts, and the check of its settings."""
    yield settings_trouble.evaluation(library, VERIFICATION)
    for answer in health.answer(library, health.read_verdicts(library), datetime.now(UTC)):
        yield dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey(VERIFICATION),
            check_name=answer.question.value,
            passed=answer.passed,
            description=answer.sentence,
            metadata=check_metadata(answer),
        )


DESCRIPTIONS = {
    Question.COMPLETE: "Every variant that must exist is there, and no recorded source is gone.",
    Question.CURRENT: "Every variant was made from its source as it is now, by today's recipe, and is recorded.",
    Question.INTACT: "Every variant opens and is whole, and no source has other bytes under the same size and mtime.",
    Question.NO_ORPHANS: "No variant folder holds a file that nothing expects.",
    Question.FAILURE_RATE: "No more variants failed than checks.max_failed_ratio in thumbs.toml allows.",
    Question.FRESHNESS: "No capture waits longer for its variants than checks.max_wait_h in thumbs.toml allows.",
}
"""What each check promises; `checks` adds the text that holds for all of them."""
