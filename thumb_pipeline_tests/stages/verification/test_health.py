"""Six questions, answered from kept verdicts of real files."""

import os
import shutil
from datetime import UTC, datetime, timedelta

import pytest

from thumb_pipeline.stages.inventory.selection import find_timelapses
from thumb_pipeline.stages.library.open import open_library
from thumb_pipeline.stages.verification import health, verdicts
from thumb_pipeline.stages.verification.health import Answer, Question
from thumb_pipeline.stages.verification.verify import verify
from thumb_pipeline_tests.stages.archives import KEY, Archive

pytestmark = pytest.mark.quick

OTHER = "camera-2/timelapse-2"


def verified(archive: Archive, *keys: str) -> None:
    library = archive.library
    with library.lease() as lease:
        for part in verify(library, find_timelapses(library, keys), lease):
            verdicts.keep(library, part)


def asked(archive: Archive, *, later_h: float = 0) -> dict[Question, Answer]:
    library = archive.library
    now = datetime.now(UTC) + timedelta(hours=later_h)
    return {answer.question: answer for answer in health.answer(library, health.read_verdicts(library), now)}


def failed(archive: Archive) -> set[Question]:
    return {question for question, answer in asked(archive).items() if not answer.passed}


def test_a_library_that_is_right_passes_every_question(done: Archive) -> None:
    verified(done)
    assert failed(done) == set()
    assert asked(done)[Question.COMPLETE].sentence == "nothing is missing: 4 variants in 1 timelapse"


def test_an_empty_library_passes_and_a_timelapse_nobody_verified_does_not(archive: Archive) -> None:
    shutil.rmtree(archive.frames().parent)
    assert failed(archive) == set()
    archive.frame("a.jpg", key=OTHER)
    assert failed(archive) == set(Question)
    answer = asked(archive)[Question.INTACT]
    assert "1 timelapse never verified" in answer.sentence
    assert answer.remedies == [f"verify --timelapse {OTHER}"]
    assert answer.worst["timelapse"].to_list() == [OTHER]


def test_what_is_wrong_in_one_timelapse_stays_wrong_whatever_is_verified_next(done: Archive) -> None:
    done.frame("a.jpg", key=OTHER)
    done.run()
    done.variant("a.jpg").unlink()
    verified(done)
    verified(done, OTHER)
    assert failed(done) == {Question.COMPLETE}
    assert asked(done)[Question.COMPLETE].remedies == [f"generate --timelapse {KEY}"]


def test_stale_and_unrecorded_variants_are_not_current(done: Archive) -> None:
    done.settings(small="quality = 40")
    verified(done)
    assert failed(done) == {Question.CURRENT}
    assert asked(done)[Question.CURRENT].numbers["stale_spec"] == 2
    done.settings(small="")
    shutil.rmtree(os.path.join(done.library.state, "datasets", "manifest"))
    verified(done)
    assert failed(done) == {Question.CURRENT}
    assert asked(done)[Question.CURRENT].remedies == [f"repair --apply --timelapse {KEY}"]


def test_files_that_nothing_expects_fail_only_their_own_question(done: Archive) -> None:
    (done.variant("a.jpg").parent / "notes.txt").write_bytes(b"x")
    verified(done)
    assert failed(done) == {Question.NO_ORPHANS}
    assert asked(done)[Question.NO_ORPHANS].sentence == "1 file that nothing expects, in 1 of 1 timelapse"


def test_failures_are_tolerated_up_to_the_share_that_the_settings_allow(done: Archive) -> None:
    done.other("c.jpg", b"\xff\xd8\xff" + bytes(100))
    done.run()
    verified(done)
    assert failed(done) == {Question.FAILURE_RATE}
    done.settings(more="[checks]\nmax_failed_ratio = 0.4")
    answer = asked(done)[Question.FAILURE_RATE]
    assert answer.passed
    assert answer.sentence == "2 of 6 variants failed (33.33%; at most 40.00%)"
    assert answer.remedies == []


def test_a_capture_may_wait_for_its_variants_as_long_as_the_settings_allow(archive: Archive) -> None:
    archive.frame("a.jpg")
    verified(archive)
    assert asked(archive)[Question.FRESHNESS].passed
    late = asked(archive, later_h=30)[Question.FRESHNESS]
    assert not late.passed
    assert late.numbers["oldest_waits_h"] == 30.0
    archive.settings(more="[checks]\nmax_wait_h = 48.0")
    assert asked(archive, later_h=30)[Question.FRESHNESS].passed


def test_a_timelapse_that_is_gone_counts_until_its_loss_is_accepted(done: Archive) -> None:
    done.frame("a.jpg", key=OTHER)
    done.run()
    verified(done)
    shutil.rmtree(done.frames(OTHER).parent)
    verified(done)
    assert failed(done) == {Question.COMPLETE}
    done.run(accept_shrink=True)
    verified(done)
    assert failed(done) == set()


def test_the_thresholds_are_those_of_the_opened_settings(archive: Archive) -> None:
    archive.settings(more="[checks]\nmax_wait_h = 1.5\nmax_failed_ratio = 0.5")
    checks = open_library(str(archive.root)).settings.checks
    assert (checks.max_wait_h, checks.max_failed_ratio) == (1.5, 0.5)
