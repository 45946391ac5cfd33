"""Policies decide what is expected, so that plan, verification, coverage and orphans all obey them."""

import polars as pl
import pytest

from thumb_pipeline.domain.findings import OrphanKind
from thumb_pipeline.domain.removals import Operation
from thumb_pipeline.stages.removal.planned import RemovalWish
from thumb_pipeline.stages.removal.run import perform, plan_removal
from thumb_pipeline.stages.verification.statistics import measure
from thumb_pipeline_tests.stages.archives import KEY, Archive, run_id
from thumb_pipeline_tests.stages.verification.test_verify import counts, orphans, verified

pytestmark = pytest.mark.quick

LATEST_ONLY = '[policy]\nsmall_generation_mode = "latest_only"'
FIRST, SECOND, THIRD = (f"timelapse-1_20250422_10000{n}.jpg" for n in range(3))


def smalls(archive: Archive) -> set[str]:
    return {name for name in archive.variant_files() if name.startswith("smalls/")}


def small_of(name: str) -> str:
    return "smalls/" + name.replace("timelapse-1_", "timelapse-1_small_")


def test_latest_only_renders_the_newest_small_and_removes_its_predecessor(archive: Archive) -> None:
    archive.settings(more=LATEST_ONLY)
    for name in (FIRST, SECOND):
        archive.frame(name)
    assert archive.run().counts == {"rendered": 3}
    assert smalls(archive) == {small_of(SECOND)}
    archive.frame(THIRD)
    assert archive.run().counts == {"rendered": 2, "unchanged": 2}
    assert smalls(archive) == {small_of(THIRD)}
    part = verified(archive)
    assert counts(part) == {"valid": 1}
    assert counts(part, "thumbnail") == {"valid": 3}
    assert archive.manifest().filter(pl.col("variant") == "small").height == 1


def test_latest_only_told_a_name_removes_the_predecessor_too(archive: Archive) -> None:
    archive.settings(more=LATEST_ONLY)
    archive.frame(FIRST)
    archive.run()
    archive.frame(SECOND)
    archive.run(timelapses=(KEY,), sources=(SECOND,))
    assert smalls(archive) == {small_of(SECOND)}


def test_latest_only_told_the_name_of_a_late_frame_leaves_the_newest_alone(archive: Archive) -> None:
    archive.settings(more=LATEST_ONLY)
    archive.frame(SECOND)
    archive.run()
    archive.frame(FIRST)
    assert archive.run(timelapses=(KEY,), sources=(FIRST,)).counts == {"rendered": 1}
    assert smalls(archive) == {small_of(SECOND)}


def test_latest_only_makes_the_newest_that_can_be_rendered_in_one_go(archive: Archive) -> None:
    archive.settings(more=LATEST_ONLY)
    archive.frame(FIRST)
    for name in (SECOND, THIRD):
        archive.other(name, b"no picture at all")
    assert archive.run().counts == {"rendered": 2, "failed": 2}
    assert smalls(archive) == {small_of(FIRST)}
    assert archive.run().counts == {"unchanged": 2, "failed": 2}


def test_the_predecessor_stays_while_the_newest_cannot_be_rendered(archive: Archive) -> None:
    archive.settings(more=LATEST_ONLY)
    archive.frame(FIRST)
    archive.run()
    archive.other(SECOND, b"\xff\xd8\xff broken \xff\xd9")
    assert archive.run().failed == 1
    assert smalls(archive) == {small_of(FIRST)}
    assert archive.run().counts["unchanged"] == 2
    part = verified(archive)
    assert counts(part) == {"valid": 1}
    assert part.orphans.files.is_empty()


def test_between_a_capture_and_its_rendering_the_predecessor_is_no_orphan(archive: Archive) -> None:
    archive.settings(more=LATEST_ONLY)
    archive.frame(FIRST)
    archive.run()
    archive.frame(SECOND)
    part = verified(archive)
    assert counts(part) == {"missing": 1}
    assert part.orphans.files.is_empty()


def test_when_the_newest_frame_is_deleted_the_one_before_gets_its_small_back(archive: Archive) -> None:
    archive.settings(more=LATEST_ONLY)
    for name in (FIRST, SECOND):
        archive.frame(name)
        archive.run()
    archive.path(SECOND).unlink()
    archive.run()
    assert small_of(FIRST) in smalls(archive)
    assert orphans(verified(archive))[small_of(SECOND)] == OrphanKind.SOURCE_GONE


def test_switching_from_all_makes_the_rest_orphans_by_policy_and_deletes_nothing(archive: Archive) -> None:
    for name in (FIRST, SECOND, THIRD):
        archive.frame(name)
    archive.run()
    archive.settings(more=LATEST_ONLY)
    assert archive.run().counts == {"unchanged": 4}
    assert orphans(verified(archive)) == dict.fromkeys((small_of(FIRST), small_of(SECOND)), OrphanKind.POLICY)


def test_a_predecessor_that_is_not_ours_is_left_alone(archive: Archive) -> None:
    archive.settings(more=LATEST_ONLY)
    archive.frame(FIRST)
    archive.run()
    archive.variant(FIRST).write_bytes(archive.path(FIRST).read_bytes())
    archive.frame(SECOND)
    archive.run()
    assert smalls(archive) == {small_of(FIRST), small_of(SECOND)}


@pytest.mark.parametrize(
    "said",
    [
        "[policy]\ngenerate_thumbnails = false",
        f'[timelapses."{KEY}".policy]\ngenerate_thumbnails = false',
        '[policy]\nsmall_generation_mode = "none"\nvariants = ["small"]',
    ],
)
def test_switched_off_nothing_is_expected_and_what_there_is_is_orphaned_by_policy(archive: Archive, said: str) -> None:
    archive.frame(FIRST)
    archive.run()
    archive.settings(more=said)
    assert archive.run().counts == {}
    assert set(orphans(verified(archive)).values()) == {OrphanKind.POLICY}
    assert measure(archive.library).coverage["required"].to_list() == [0, 0]


def test_a_timelapse_that_asks_for_nothing_gets_nothing_while_the_one_that_asks_has_no_frames(archive: Archive) -> None:
    other = "camera-2/timelapse-2"
    archive.frames(other).mkdir(parents=True)
    archive.settings(
        more=f'[policy]\ngenerate_thumbnails = false\n[timelapses."{other}".policy]\ngenerate_thumbnails = true'
    )
    archive.frame(FIRST)
    assert archive.run().counts == {}


def test_a_completed_timelapse_gives_up_its_smalls_where_the_policy_says_so(archive: Archive) -> None:
    archive.settings(more=f'[policy]\npurge_smalls_on_completion = true\n[timelapses."{KEY}"]\nstatus = "completed"')
    archive.frame(FIRST)
    archive.run()
    assert archive.variant_files() == {"thumbnails/timelapse-1_thumb_20250422_100000.jpg"}


def test_flagged_captures_get_no_variants_and_do_not_count_as_missing(archive: Archive) -> None:
    archive.settings(more=f'[timelapses."{KEY}"]\ncorrupt_names = ["{FIRST}"]\ncorrupt_patterns = ["*_100001.*"]')
    for name in (FIRST, SECOND, THIRD):
        archive.frame(name)
    assert archive.run().counts == {"rendered": 2}
    assert counts(verified(archive)) == {"valid": 1}
    assert measure(archive.library).coverage["ratio"].to_list() == [1.0, 1.0]


def test_retention_thins_old_smalls_and_leaves_thumbnails(archive: Archive) -> None:
    archive.settings(more="[policy.retention.small]\nkeep_days = 30\nthen_every_s = 3600")
    for name in (FIRST, SECOND, THIRD, "timelapse-1_20250422_113000.jpg"):
        archive.frame(name)
    archive.run()
    assert smalls(archive) == {small_of(FIRST), small_of("timelapse-1_20250422_113000.jpg")}
    assert counts(verified(archive), "thumbnail") == {"valid": 4}


def test_coverage_agrees_with_the_plan_before_anything_was_inventoried(archive: Archive) -> None:
    archive.settings(more=LATEST_ONLY)
    for name in (FIRST, SECOND, "IMG.jpg"):
        archive.frame(name)
    required = dict(measure(archive.library).coverage.select("variant", "required").iter_rows())
    assert required == {"thumbnail": 3, "small": 1}


def test_a_rule_with_a_date_leaves_older_captures_as_they_were(archive: Archive) -> None:
    archive.frame(FIRST)
    archive.frame("timelapse-1_20260101_100000.jpg")
    archive.settings(more="[policy]\nsince = 2026-01-01\nsmall_generation_mode = 'none'")
    archive.run()
    assert smalls(archive) == {small_of(FIRST)}


def test_what_a_policy_made_superfluous_is_swept_only_when_that_is_said(archive: Archive) -> None:
    for name in (FIRST, SECOND, THIRD):
        archive.frame(name)
    archive.run()
    archive.settings(more=LATEST_ONLY)
    archive.path(FIRST).unlink()
    archive.run()
    library = archive.library
    planned = plan_removal(library, Operation.SWEEP, RemovalWish())
    assert set(planned.files["source_name"]) == set(planned.records["source_name"]) == {FIRST}
    with library.lease() as lease:
        done = perform(library, Operation.SWEEP, RemovalWish(by_policy=True), run_id("run"), lease)
    assert (done.n_removed, done.kept) == (3, [])
    assert smalls(archive) == {small_of(THIRD)}
    assert archive.manifest().height == 3
