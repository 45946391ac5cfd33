"""Every run that a schedule asks for, carried out as it asks: it succeeds, and does what its name says."""

import time

import pytest

from thumb_pipeline.defs.schedules import NIGHTLY
from thumb_pipeline.stages.removal import trash
from thumb_pipeline_tests.defs.conftest import KEYS, Located, carried_out, numbers
from thumb_pipeline_tests.stages.archives import states
from thumb_pipeline_tests.stages.verification.test_deep import flip, textured

pytestmark = pytest.mark.daemon


@pytest.mark.parametrize("name", [schedule.name for schedule in NIGHTLY])
def test_every_scheduled_run_succeeds_and_may_wait(located: Located, name: str) -> None:
    before = states(located.archive.root / "cameras")
    done = carried_out(located.archive, located.instance, name)
    run = located.instance.get_run_by_id(done.run_id)
    assert run is not None
    told = ("dagster/schedule_name", "thumb_pipeline/lane", "dagster/priority")
    assert [run.tags[tag] for tag in told] == [name, "maintenance", "-10"]
    assert states(located.archive.root / "cameras") == before  # all was right already


def test_the_reconcile_makes_variants_that_were_lost_or_whose_recipe_changed(located: Located) -> None:
    archive, lost = located.archive, located.archive.variant("a.jpg", "thumbnail", key=KEYS[1])
    whole = lost.read_bytes()
    lost.unlink()
    archive.settings(small="quality = 50")
    assert archive.plan().rows.height == 7
    carried_out(archive, located.instance, "nightly_reconcile")
    assert lost.read_bytes() == whole
    assert archive.plan().rows.is_empty()
    assert located.n_reported("thumbnails") == 3


def test_the_verification_reports_what_is_wrong_and_leaves_it(located: Located) -> None:
    lost = located.archive.variant("a.jpg", key=KEYS[1])
    lost.unlink()
    carried_out(located.archive, located.instance, "nightly_verify")
    assert located.red() == {"complete"}
    assert located.n_reported() == 3
    assert not lost.exists()


def test_the_rolling_verification_opens_every_file_and_finds_what_no_listing_shows(located: Located) -> None:
    archive, instance = located.archive, located.instance
    textured(archive, "a.jpg")
    archive.run()
    flip(archive.variant("a.jpg"))
    carried_out(archive, instance, "nightly_verify")
    assert located.red() == set()
    rolled = carried_out(archive, instance, "nightly_verify_rolling").output_for_node("verify_oldest")
    n_bytes = sum(path.stat().st_size for path in (archive.root / "cameras").rglob("*") if path.is_file())
    assert rolled == {"sources": 6, "variants": 12, "bytes": n_bytes, "wrong": 1, "left": 0}
    assert located.red() == {"intact"}
    carried_out(archive, instance, "nightly_reconcile")
    carried_out(archive, instance, "nightly_verify")
    assert located.red() == set()


def test_the_statistics_are_materialized_from_the_files(located: Located) -> None:
    archive = located.archive
    archive.variant("a.jpg", key=KEYS[1]).unlink()
    done = carried_out(archive, located.instance, "nightly_statistics")
    assert numbers(done, "coverage_statistics")["ratio/small"] == pytest.approx(5 / 6)
    usage = numbers(done, "disk_usage_statistics")
    assert (usage["files/small"], usage["files/thumbnail"]) == (5, 6)
    assert usage["bytes/small"] == sum(path.stat().st_size for path in archive.root.glob("cameras/*/*/smalls/*"))


def test_old_runs_are_forgotten_and_the_latest_of_an_asset_stays(located: Located) -> None:
    archive, instance = located.archive, located.instance
    old, latest = (carried_out(archive, instance, "nightly_statistics").run_id for _ in range(2))
    carried_out(archive, instance, "nightly_forget_runs")
    assert old in instance.get_run_ids()
    archive.settings(more="[runs]\nkeep_days = 1e-9")
    time.sleep(0.01)
    forgot = carried_out(archive, instance, "nightly_forget_runs")
    assert old not in instance.get_run_ids()
    assert set(instance.get_run_ids()) == {latest, forgot.run_id}
    assert forgot.output_for_node("forget_old_runs") == {"forgotten": 2, "still_needed": 1, "left": 0}


def test_the_trash_is_emptied_of_what_is_older_than_it_is_kept(located: Located) -> None:
    archive, instance = located.archive, located.instance
    located.job("purge", apply=True)
    carried_out(archive, instance, "nightly_trash")
    assert len(trash.list_entries(archive.library)) == 1
    archive.settings(more="[trash]\nkeep_days = 0.0")
    done = carried_out(archive, instance, "nightly_trash")
    assert done.output_for_node("empty_expired")["n_files"] == 12
    assert trash.list_entries(archive.library) == []
