"""Verifies and reports, for whatever in Dagster does so: the assets, the job `verify`, jobs that changed something.

What is found out is `stages.verification.verify`; what the reports look like is `shown.report_metadata`.
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
        mark: whether both reports are about to show it.
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
    """Materializations of both reports for those timelapses of a verification whose reports would be others.

    One that is as it was when it was reported last is left out: recording two materializations takes 30 ms to 60 ms,
    which for thousands of timelapses every night would be most of the run, and change nothing that can be read.

    Args:
        library: the library.
        part: what was verified, and is kept.
        never_shown: timelapses to report in any case.
    """
    news = {*verdicts.find_unreported(library, part), *(never_shown & {*part.timelapses["timelapse"]})}
    for key, mine in reports(part, sorted(news)):
        yield dg.AssetMaterialization(VERIFICATION, partition=key, metadata=verification_metadata(library, mine))
        yield dg.AssetMaterialization(ORPHANS, partition=key, metadata=orphan_metadata(mine))
    verdicts.mark_reported(library, part, sorted(news))


def find_never_shown(instance: dg.DagsterInstance, keys: Sequence[str]) -> set[str]:
    """Timelapses that lack a report in this instance, whatever was reported to another one."""
    verified, orphans = (instance.get_materialized_partitions(dg.AssetKey(name)) for name in (VERIFICATION, ORPHANS))
    return set(keys) - (verified & orphans)


def evaluate_checks(library: Library) -> Iterator[dg.AssetCheckEvaluation]:
    """Every check over the whole library, from the kept verdicts, and the one of its settings."""
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
    Question.INTACT: "Every variant opens and is whole, and no source changed its bytes behind our back.",
    Question.NO_ORPHANS: "Nothing lies in a variant folder that nothing expects.",
    Question.FAILURE_RATE: "No more variants failed than checks.max_failed_ratio in thumbs.toml allows.",
    Question.FRESHNESS: "No capture waits longer for its variants than checks.max_wait_h in thumbs.toml allows.",
}
"""What each check promises; what holds for all of them is added to each in `checks`."""
