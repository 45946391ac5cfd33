"""What `status` tells of the records: how far orders are, what was made and refused of late."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from thumb_pipeline.stages.rendering import progress as stage
from thumb_pipeline.stages.rendering import work_orders
from thumb_pipeline.stages.rendering.progress import Activity, OrderProgress
from thumb_pipeline.stages.rendering.work_orders import WorkOrder
from thumb_pipeline_tests.stages.archives import KEY, Archive, run_id, touch

pytestmark = pytest.mark.quick

ORDER = run_id("order")

NOW = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
N_FRAMES = 6


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Six frames with both of their variants; nothing was recorded of late."""
    archive = Archive(tmp_path_factory.mktemp("rendered") / "library")
    for number in range(N_FRAMES):
        archive.frame(f"{number}.jpg", color=number)
    archive.run()
    recorded(archive, NOW - timedelta(days=30))
    return archive


@pytest.fixture
def filled(rendered: Archive, tmp_path: Path) -> Archive:
    """A copy of that for one test."""
    shutil.copytree(rendered.root, tmp_path / "library")
    return Archive(tmp_path / "library")


def recorded(archive: Archive, at: datetime, *names: str) -> None:
    """Dates the records of some sources, or of all."""
    rows = archive.manifest()
    chosen = rows.filter(pl.col("source_name").is_in(names or rows["source_name"].unique().to_list()))
    archive.library.manifest.merge(KEY, chosen.with_columns(recorded_at=pl.lit(at)))


def ordered(archive: Archive, placed_at: datetime, *, asked: str = "") -> WorkOrder:
    """An order to render everything again, as if it had been placed then."""
    library = archive.library
    work_orders.place(library, archive.plan(force=True), ORDER, asked=asked)
    path = Path(library.plans) / ORDER / "order.json"
    order = work_orders.read(library, ORDER)
    path.write_text(path.read_text().replace(order.placed_at, placed_at.isoformat()))
    return work_orders.read(library, ORDER)


def progress(archive: Archive, *, begun: datetime | None) -> OrderProgress:
    (found,) = stage.orders(archive.library, now=NOW, begun={} if begun is None else {ORDER: begun})
    return found


def activity(archive: Archive) -> Activity:
    return stage.activity(archive.library, now=NOW, within=DAY)


def before(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


# Orders of work


def test_a_rate_is_of_the_last_minute_and_the_rest_takes_as_long_at_that_rate(filled: Archive) -> None:
    ordered(filled, before(600))
    recorded(filled, before(300), "0.jpg", "1.jpg")
    recorded(filled, before(30), "2.jpg", "3.jpg", "4.jpg")
    found = progress(filled, begun=before(590))
    assert (found.n_variants, found.n_done) == (12, 10)
    assert (found.per_s, found.left_s) == (6 / 60, 2 / (6 / 60))


def test_a_rate_is_of_the_time_since_the_work_began_where_that_is_shorter(filled: Archive) -> None:
    ordered(filled, before(600))
    recorded(filled, before(10), "0.jpg")
    found = progress(filled, begun=before(20))
    assert (found.per_s, found.left_s) == (2 / 20, 10 / (2 / 20))


def test_what_was_done_before_a_stop_is_done_and_is_no_part_of_the_rate_after_it(filled: Archive) -> None:
    ordered(filled, before(600))
    recorded(filled, before(50), "0.jpg", "1.jpg", "2.jpg")
    recorded(filled, before(10), "3.jpg")
    found = progress(filled, begun=before(20))
    assert (found.n_done, found.per_s, found.left_s) == (8, 2 / 20, 4 / (2 / 20))


@pytest.mark.parametrize("age_s", [0.0, 0.5, -5.0], ids=["now", "just now", "by a clock that went back"])
def test_an_order_that_has_just_begun_has_no_rate_and_nobody_knows_how_long_it_takes(
    filled: Archive, age_s: float
) -> None:
    ordered(filled, before(age_s))
    found = progress(filled, begun=before(age_s))
    assert (found.n_done, found.per_s, found.left_s) == (0, 0.0, None)


def test_what_is_done_in_the_first_instant_makes_no_absurd_rate(filled: Archive) -> None:
    ordered(filled, before(0.01))
    recorded(filled, NOW, "0.jpg", "1.jpg")
    assert progress(filled, begun=NOW).per_s == 0.0
    assert progress(filled, begun=before(0.01)).per_s == 4.0


@pytest.mark.parametrize("ahead_s", [2, 400 * 86_400], ids=["a moment", "400 days"])
def test_what_is_recorded_after_the_moment_of_looking_is_done_and_in_no_rate(filled: Archive, ahead_s: float) -> None:
    ordered(filled, before(60))
    recorded(filled, before(-ahead_s), "0.jpg")
    recorded(filled, before(30), "1.jpg")
    found = progress(filled, begun=before(60))
    assert (found.n_done, found.per_s) == (4, round(2 / 60, 3))


def test_what_was_recorded_in_the_future_before_an_order_was_placed_is_no_part_of_it(filled: Archive) -> None:
    recorded(filled, NOW + 400 * DAY)
    ordered(filled, before(60))
    recorded(filled, before(30), "0.jpg")
    found = progress(filled, begun=before(60))
    assert (found.n_done, found.per_s) == (2, round(2 / 60, 3))


def test_an_order_that_was_placed_and_begun_by_a_clock_that_ran_ahead_has_the_rate_of_the_last_minute(
    filled: Archive,
) -> None:
    ordered(filled, NOW + 400 * DAY)
    recorded(filled, NOW + 400 * DAY, "0.jpg", "1.jpg")
    recorded(filled, before(30), "2.jpg", "3.jpg", "4.jpg")
    found = progress(filled, begun=NOW + 400 * DAY)
    assert (found.n_done, found.per_s, found.left_s) == (10, 6 / 60, 20.0)


def test_a_slow_rate_is_not_rounded_to_none(filled: Archive) -> None:
    ordered(filled, before(600))
    recorded(filled, before(30), "0.jpg")
    found = progress(filled, begun=before(600))
    assert (found.per_s, found.left_s) == (0.033, 300.0)


def test_an_order_without_anything_left_takes_no_more_time_however_long_ago_that_was(filled: Archive) -> None:
    ordered(filled, before(900))
    recorded(filled, before(600))
    found = progress(filled, begun=before(890))
    assert (found.n_done, found.n_variants, found.per_s, found.left_s) == (12, 12, 0.0, 0.0)


def test_an_order_of_nothing_is_done(filled: Archive) -> None:
    library = filled.library
    work_orders.place(library, filled.plan(), ORDER)
    assert progress(filled, begun=NOW).n_variants == 0
    assert progress(filled, begun=NOW).left_s == 0.0


def test_a_refused_variant_is_done_too(filled: Archive) -> None:
    ordered(filled, before(60))
    rows = filled.manifest().filter(pl.col("source_name") == "0.jpg")
    refused = rows.with_columns(state=pl.lit("failed"), recorded_at=pl.lit(before(30)))
    filled.library.manifest.merge(KEY, refused)
    assert progress(filled, begun=before(60)).n_done == 2


def test_a_stopped_order_keeps_what_is_done_and_has_neither_rate_nor_time_left(filled: Archive) -> None:
    ordered(filled, before(60), asked="everything")
    recorded(filled, before(10), "0.jpg")
    found = progress(filled, begun=None)
    assert (found.n_done, found.per_s, found.left_s, found.goes_on_by_command) == (2, 0.0, None, True)


def test_an_order_that_no_command_asked_for_does_not_go_on_by_one(filled: Archive) -> None:
    ordered(filled, before(60))
    assert not progress(filled, begun=None).goes_on_by_command


def test_an_order_of_a_process_that_was_killed_is_not_shown(filled: Archive) -> None:
    library = filled.library
    with library.lease() as lease:
        work_orders.place(library, filled.plan(force=True), ORDER, lease=lease)
        assert progress(filled, begun=None).n_variants == 12
    assert stage.orders(library, now=NOW, begun={}) == []


def test_the_latest_order_is_the_first(filled: Archive) -> None:
    library = filled.library
    for name in ("earlier", "later"):
        work_orders.place(library, filled.plan(force=True), run_id(name))
    assert [order.run_id for order in stage.orders(library, now=NOW, begun={})] == [run_id("later"), run_id("earlier")]


def test_an_order_that_was_carried_out_is_not_shown(filled: Archive) -> None:
    ordered(filled, before(60))
    work_orders.discard(filled.library, ORDER)
    assert stage.orders(filled.library, now=NOW, begun={}) == []


def test_an_order_that_is_removed_while_one_looks_is_not_shown(filled: Archive) -> None:
    ordered(filled, before(60))
    (Path(filled.library.plans) / ORDER / "rows.parquet").unlink()
    assert stage.orders(filled.library, now=NOW, begun={}) == []


def test_an_order_whose_removal_was_interrupted_is_none_any_more(
    filled: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordered(filled, before(60), asked="everything")
    with monkeypatch.context() as killed:
        killed.setattr("thumb_pipeline.storage.removing.remove_files", lambda *_: None)
        work_orders.discard(filled.library, ORDER)
    assert stage.orders(filled.library, now=NOW, begun={}) == []
    assert work_orders.list_unfinished(filled.library, "everything") is None


# Backfills


def going(**given: Any) -> tuple[float, float | None]:
    """Rate and time left of a backfill of 10 timelapses, all of them in 5 runs, that works for 100 s."""
    usual = {"n_timelapses": 10, "n_requested": 10, "n_runs": 5, "n_ended": 0, "at_work": [], "took_s": 100.0}
    found = stage.pace(**{**usual, **given})
    return found.per_s, found.left_s


def part(n_done: int, n_variants: int) -> OrderProgress:
    return OrderProgress(
        run_id="r",
        n_variants=n_variants,
        n_done=n_done,
        per_s=0.0,
        left_s=None,
        goes_on_by_command=False,
        asked="",
        is_held=False,
    )


def test_a_backfill_goes_as_fast_as_its_ended_runs_did_their_timelapses() -> None:
    assert going(n_ended=2) == (0.04, 6 / 0.04)


def test_what_runs_have_done_in_part_counts_in_part() -> None:
    assert going(n_ended=1, at_work=[part(50, 100), part(0, 7), part(0, 0)]) == (0.03, round(7 / 0.03, 1))


def test_timelapses_without_a_run_yet_are_left() -> None:
    assert going(n_requested=4, n_runs=2, n_ended=2) == (0.04, 6 / 0.04)


@pytest.mark.parametrize("given", [{}, {"n_requested": 0, "n_runs": 0}, {"took_s": 0.0}], ids=str)
def test_a_backfill_that_has_just_begun_has_no_rate_and_nobody_knows_how_long_it_takes(given: dict[str, Any]) -> None:
    assert going(**given) == (0.0, None)


def test_a_backfill_of_ended_runs_takes_no_more_time() -> None:
    assert going(n_ended=5) == (0.1, 0.0)
    assert going(n_timelapses=9, n_ended=5) == (0.1, 0.0)  # a run was repeated


# The last 24 hours


def test_an_empty_library_has_done_nothing(archive: Archive) -> None:
    found = activity(archive)
    assert (found.n_made, found.n_failed, found.n_newly_failed, found.n_pending) == (0, 0, 0, 0)
    assert found.failures.is_empty()


def test_what_was_made_exactly_a_day_ago_counts_and_what_was_a_microsecond_earlier_does_not(filled: Archive) -> None:
    recorded(filled, NOW - DAY, "0.jpg")
    assert activity(filled).n_made == 2
    recorded(filled, NOW - DAY - MICROSECOND, "0.jpg")
    assert activity(filled).n_made == 0


def test_what_was_refused_exactly_a_day_ago_is_newly_failed_and_a_microsecond_earlier_only_failed(
    filled: Archive,
) -> None:
    filled.other("broken.jpg", b"no picture at all")
    filled.run()
    recorded(filled, NOW - DAY, "broken.jpg")
    assert (activity(filled).n_failed, activity(filled).n_newly_failed) == (1, 1)
    recorded(filled, NOW - DAY - MICROSECOND, "broken.jpg")
    assert (activity(filled).n_failed, activity(filled).n_newly_failed) == (1, 0)


def test_a_source_whose_variants_were_refused_at_two_times_counts_by_the_later_one(filled: Archive) -> None:
    filled.other("broken.jpg", b"no picture at all")
    filled.run()
    first, second = filled.manifest().filter(pl.col("source_name") == "broken.jpg").partition_by("variant")
    manifest = filled.library.manifest
    for old, new in ((first, second), (second, first)):
        manifest.merge(KEY, old.with_columns(recorded_at=pl.lit(NOW - 2 * DAY), detail=pl.lit("then")))
        manifest.merge(KEY, new.with_columns(recorded_at=pl.lit(NOW), detail=pl.lit("now")))
        found = activity(filled)
        assert (found.n_failed, found.n_newly_failed) == (1, 1)
        assert found.failures["detail"].to_list() == ["now"]


def test_the_last_failures_are_the_latest_five_with_their_reason_and_the_newest_first(filled: Archive) -> None:
    names = [f"broken-{number}.jpg" for number in range(7)]
    for name in names:
        filled.other(name, b"no picture at all")
    filled.run()
    for age_h, name in enumerate(names):
        recorded(filled, NOW - timedelta(hours=age_h), name)
    failures = activity(filled).failures
    assert failures["source_name"].to_list() == names[:5]
    assert set(failures["reason"]) == {"not_an_image"}
    assert activity(filled).n_failed == 7


def test_what_was_made_or_refused_in_the_future_is_not_of_the_last_day_and_is_shown_last(filled: Archive) -> None:
    for name in ("of-today.jpg", "of-the-future.jpg"):
        filled.other(name, b"no picture at all")
    filled.run()
    recorded(filled, NOW - timedelta(hours=1), "0.jpg", "of-today.jpg")
    recorded(filled, NOW + 400 * DAY, "1.jpg", "of-the-future.jpg")
    found = activity(filled)
    assert (found.n_made, found.n_failed, found.n_newly_failed) == (2, 2, 1)
    assert found.failures["source_name"].to_list() == ["of-today.jpg", "of-the-future.jpg"]


def test_a_variant_that_was_only_recorded_anew_was_not_made(filled: Archive) -> None:
    touch(filled.path("0.jpg"))
    assert filled.run().unchanged == 2 * N_FRAMES
    found = stage.activity(filled.library, now=datetime.now(UTC), within=DAY)
    assert found.n_made == 0


def test_a_variant_that_was_brought_to_its_place_was_not_made_though_its_record_says_what_it_took(
    filled: Archive,
) -> None:
    brought = filled.manifest().with_columns(origin=pl.lit("adopted"), recorded_at=pl.lit(NOW))
    assert brought["render_ms"].null_count() == 0
    filled.library.manifest.merge(KEY, brought)
    assert activity(filled).n_made == 0


def test_a_source_that_is_still_being_written_is_pending(filled: Archive) -> None:
    growing = filled.inventory().head(1).with_columns(state=pl.lit("pending"))
    filled.library.inventory.merge(KEY, growing)
    assert activity(filled).n_pending == 1
