"""Rolling deep verification: gets round the library, a part at a time, and disturbs no other findings."""

import shutil
from pathlib import Path

import polars as pl
import pytest

from thumb_pipeline.stages.verification.rolling import Budget, RollResult, budget_of, roll
from thumb_pipeline_tests.stages.archives import KEY, Archive
from thumb_pipeline_tests.stages.verification.test_deep import flip, textured, verified

pytestmark = pytest.mark.quick

OTHER = "camera-2/timelapse-2"
UNBOUNDED = Budget(n_bytes=10**12, seconds=600.0)
ONE = Budget(n_bytes=1, seconds=600.0)


def rolled(archive: Archive, budget: Budget = UNBOUNDED) -> RollResult:
    library = archive.library
    with library.lease() as lease:
        return roll(library, lease, budget=budget)


def kept(archive: Archive, variant: str = "small") -> dict[str, int]:
    """The counts that are kept of one variant, where they are not zero."""
    rows = archive.library.verdicts.read(["library/all"]).filter(pl.col("variant") == variant)
    states = ("valid", "corrupt", "missing", "orphan", "stale_source")
    return {state: n for state in states if (n := int(rows[state].sum()))}


def checked(archive: Archive, key: str = KEY) -> list[str]:
    return sorted(archive.library.checked.read([key])["source_name"])


def test_an_unbounded_run_opens_every_source_and_variant(done: Archive) -> None:
    result = rolled(done)
    assert (result.n_sources, result.n_variants, result.n_left, result.n_wrong) == (2, 4, 0, 0)
    assert checked(done) == ["a.jpg", "b.jpg"]
    assert result.n_bytes == sum(path.stat().st_size for path in (done.root / "cameras").rglob("*") if path.is_file())


def test_runs_of_one_source_each_get_round_the_library(archive: Archive) -> None:
    names = {"a.jpg", "b.jpg", "c.jpg"}
    for name in names:
        archive.frame(name)
    archive.run()
    left = [rolled(archive, ONE).n_left for _ in range(3)]
    assert left == [2, 2, 2]
    assert set(checked(archive)) == names
    times = archive.library.checked.read([KEY])["checked_at"]
    assert times.n_unique() == 3


def test_what_was_looked_at_longest_ago_comes_first(done: Archive) -> None:
    rolled(done)
    done.frame("c.jpg")
    done.run()
    before = dict(done.library.checked.read([KEY]).select("source_name", "checked_at").iter_rows())
    rolled(done, ONE)
    after = dict(done.library.checked.read([KEY]).select("source_name", "checked_at").iter_rows())
    assert after["a.jpg"] > before["a.jpg"]
    assert after["b.jpg"] == before["b.jpg"]
    assert "c.jpg" not in after


def test_deep_verification_counts_as_checking(done: Archive) -> None:
    rolled(done, ONE)
    verified(done, deep=True)
    times = done.library.checked.read([KEY])["checked_at"]
    assert times.n_unique() == 1


def test_a_run_without_time_takes_one_step(done: Archive) -> None:
    assert rolled(done, Budget(n_bytes=10**12, seconds=0.0)).n_sources == 2


def test_damage_reaches_the_kept_verdicts_and_the_next_plan(archive: Archive) -> None:
    textured(archive, "a.jpg")
    archive.run()
    verified(archive, deep=False)
    flip(archive.variant("a.jpg"))
    result = rolled(archive)
    assert (result.n_wrong, result.timelapses) == (1, [KEY])
    assert kept(archive) == {"corrupt": 1}
    assert archive.library.findings.read([KEY])["variant"].to_list() == ["small"]
    assert archive.run().by_reason == {"corrupt": 1}


def test_bit_rot_reaches_the_kept_findings(archive: Archive) -> None:
    path = textured(archive, "a.jpg")
    archive.run()
    flip(path)
    rolled(archive)
    assert archive.library.findings.read([KEY])["state"].to_list() == ["bit_rot"]
    assert archive.library.verified.read(["library/all"])["bit_rot"].to_list() == [1]


def test_earlier_findings_about_other_files_stay(archive: Archive) -> None:
    for name in ("a.jpg", "b.jpg"):
        textured(archive, name)
    archive.frame("c.jpg", key=OTHER)
    archive.run()
    flip(archive.variant("b.jpg"))
    archive.variant("c.jpg", key=OTHER).unlink()
    verified(archive, deep=True)
    flip(archive.path("a.jpg"))
    rolled(archive)
    assert kept(archive) == {"valid": 1, "corrupt": 1, "missing": 1}
    assert sorted(archive.library.findings.read([KEY])["state"]) == ["bit_rot", "corrupt"]
    assert archive.library.findings.read([OTHER])["state"].to_list() == ["missing"]


def test_damage_that_does_not_hold_any_more_is_taken_back(archive: Archive) -> None:
    textured(archive, "a.jpg")
    archive.run()
    path = archive.variant("a.jpg")
    flip(path)
    rolled(archive)
    flip(path)
    assert rolled(archive).timelapses == [KEY]
    assert kept(archive) == {"valid": 1}
    assert archive.library.damage.read([KEY]).is_empty()


def test_sources_that_are_gone_are_not_called_checked_and_keep_nobody_waiting(done: Archive) -> None:
    done.path("a.jpg").unlink()
    result = rolled(done, ONE)
    assert (result.n_sources, result.n_moved) == (1, 1)
    assert checked(done) == ["b.jpg"]


def test_nothing_is_said_of_a_variant_that_is_not_as_recorded(done: Archive) -> None:
    done.variant("a.jpg").unlink()
    done.variant("b.jpg").write_bytes(b"x")
    assert rolled(done).n_wrong == 0


def test_a_library_without_an_inventory_has_nothing_to_check(done: Archive) -> None:
    shutil.rmtree(Path(done.library.state, "datasets"))
    result = rolled(done)
    assert (result.n_sources, result.oldest_at) == (0, None)


def test_the_budget_of_the_settings_is_what_they_say(archive: Archive) -> None:
    archive.settings(more="[verification]\nrolling_bytes = 5\nrolling_s = 7.5")
    assert budget_of(archive.library) == Budget(n_bytes=5, seconds=7.5)
