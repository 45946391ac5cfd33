"""Orders of work on disk: what is left of them while other things happen, and when they go."""

import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from thumb_pipeline.stages.rendering import progress, work_orders
from thumb_pipeline.stages.rendering.latest_only import render_rows
from thumb_pipeline_tests.stages.archives import KEY, Archive, run_id
from thumb_pipeline_tests.stages.planning.test_policy import FIRST, LATEST_ONLY, SECOND, THIRD, small_of, smalls

pytestmark = pytest.mark.quick

OTHER = "camera-2/timelapse-2"


def carried_out(archive: Archive, order_id: str) -> None:
    """Renders the one chunk of an order, as its run does."""
    library = archive.library
    rows = work_orders.read_chunk(library, order_id, 0)
    with library.lease() as lease:
        render_rows(library, rows, lease, run_id=order_id)


def left_of_small(archive: Archive, order_id: str) -> set[str]:
    rows = work_orders.read_chunk(archive.library, order_id, 0)
    return set(rows.filter(variant="small")["source_name"])


@pytest.fixture
def latest_only(archive: Archive) -> Archive:
    """One source, its thumbnail and its small, where only the newest capture has one."""
    archive.settings(more=LATEST_ONLY)
    archive.frame(FIRST)
    archive.run()
    return archive


def test_bulk_work_leaves_one_small_where_a_newer_capture_came_before_its_turn(latest_only: Archive) -> None:
    work_orders.place(latest_only.library, latest_only.plan(force=True), run_id("bulk"))
    latest_only.frame(SECOND)
    latest_only.run(timelapses=(KEY,), sources=(SECOND,))
    carried_out(latest_only, run_id("bulk"))
    assert smalls(latest_only) == {small_of(SECOND)}
    again = latest_only.manifest().filter(source_name=FIRST)
    assert again.select("variant", "run_id").rows() == [("thumbnail", run_id("bulk"))]


def test_the_next_capture_leaves_one_small_after_bulk_work(latest_only: Archive) -> None:
    work_orders.place(latest_only.library, latest_only.plan(force=True), run_id("bulk"))
    latest_only.frame(SECOND)
    latest_only.run()
    carried_out(latest_only, run_id("bulk"))
    latest_only.frame(THIRD)
    latest_only.run()
    assert smalls(latest_only) == {small_of(THIRD)}


def test_the_newest_small_stays_in_bulk_work(latest_only: Archive) -> None:
    latest_only.frame(SECOND)
    latest_only.run()
    work_orders.place(latest_only.library, latest_only.plan(force=True), run_id("bulk"))
    assert left_of_small(latest_only, run_id("bulk")) == {SECOND}


def test_a_refused_newest_capture_is_tried_again_by_the_order_that_says_so(latest_only: Archive) -> None:
    latest_only.other(SECOND, b"no picture at all")
    latest_only.run()
    assert smalls(latest_only) == {small_of(FIRST)}
    work_orders.place(latest_only.library, latest_only.plan(retry_failed=True), run_id("again"))
    assert left_of_small(latest_only, run_id("again")) == {SECOND}


def test_a_newer_capture_that_was_refused_supersedes_nothing(latest_only: Archive) -> None:
    work_orders.place(latest_only.library, latest_only.plan(force=True), run_id("bulk"))
    latest_only.other(SECOND, b"no picture at all")
    latest_only.run()
    assert left_of_small(latest_only, run_id("bulk")) == {FIRST}


def test_a_newer_capture_supersedes_nothing_where_all_have_the_variant(archive: Archive) -> None:
    archive.settings(more=f'{LATEST_ONLY}\n[timelapses."{OTHER}".policy]\nsmall_generation_mode = "all"')
    for key in (KEY, OTHER):
        archive.frame(FIRST, key=key)
    archive.run()
    work_orders.place(archive.library, archive.plan(force=True), run_id("bulk"))
    for key in (KEY, OTHER):
        archive.frame(SECOND, key=key)
    archive.run()
    rows = work_orders.read_chunk(archive.library, run_id("bulk"), 0)
    assert sorted(rows.filter(pl.col("variant") == "small")["timelapse"]) == [OTHER]
    assert rows.filter(variant="thumbnail").height == 2


# What is done, whatever clocks said

FUTURE = datetime.now(UTC) + timedelta(days=400)
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def dated(archive: Archive, recorded_at: datetime, *, run_id: str | None = None) -> None:
    """Writes all records anew, as if they had been made then."""
    rows = archive.manifest().with_columns(recorded_at=pl.lit(recorded_at))
    archive.library.manifest.merge(KEY, rows if run_id is None else rows.with_columns(run_id=pl.lit(run_id)))


def left(archive: Archive, order_id: str = run_id("order")) -> set[tuple[str, str]]:
    rows = work_orders.read_chunk(archive.library, order_id, 0)
    assert work_orders.count_left(archive.library, order_id) == rows.height
    return set(rows.select("source_name", "variant").iter_rows())


def test_records_from_the_future_do_nothing_for_an_order(done: Archive) -> None:
    dated(done, FUTURE)
    done.variant("a.jpg").unlink()
    done.variant("b.jpg", "thumbnail").write_bytes(b"corrupt")
    work_orders.place(done.library, done.plan(), run_id("order"))
    assert left(done) == {("a.jpg", "small"), ("b.jpg", "thumbnail")}
    carried_out(done, run_id("order"))
    assert done.run().counts == {"unchanged": 4}


def test_records_from_the_future_do_nothing_for_an_order_to_make_everything_again(done: Archive) -> None:
    dated(done, FUTURE)
    work_orders.place(done.library, done.plan(force=True), run_id("order"))
    assert len(left(done)) == 4


def test_a_repeated_order_goes_on_where_it_was_stopped_though_the_clock_went_back_meanwhile(done: Archive) -> None:
    library = done.library
    work_orders.place(library, done.plan(force=True), run_id("order"))
    rows = work_orders.read_chunk(library, run_id("order"), 0).filter(source_name="a.jpg")
    with library.lease() as lease:
        render_rows(library, rows, lease, run_id=run_id("order"))
    dated_rows = done.manifest().filter(source_name="a.jpg").with_columns(recorded_at=pl.lit(LONG_AGO))
    library.manifest.merge(KEY, dated_rows)
    assert left(done) == {("b.jpg", "small"), ("b.jpg", "thumbnail")}
    carried_out(done, run_id("order"))
    assert left(done) == set()


def test_what_another_run_made_since_is_not_made_again_whatever_its_clock_said(done: Archive) -> None:
    work_orders.place(done.library, done.plan(force=True), run_id("order"))
    done.run(force=True, sources=("b.jpg",))
    others = done.manifest().filter(source_name="b.jpg").with_columns(recorded_at=pl.lit(LONG_AGO), run_id=pl.lit("r"))
    done.library.manifest.merge(KEY, others)
    assert left(done) == {("a.jpg", "small"), ("a.jpg", "thumbnail")}


def test_what_was_recorded_of_another_source_under_the_name_is_not_done(done: Archive) -> None:
    work_orders.place(done.library, done.plan(force=True), run_id("order"))
    other_source = done.manifest().with_columns(source_n_bytes=pl.col("source_n_bytes") + 1)
    done.library.manifest.merge(KEY, other_source)
    assert len(left(done)) == 4


def as_of_an_earlier_version(archive: Archive, order_id: str = run_id("order")) -> None:
    """Takes out of an order what earlier versions did not write."""
    path = Path(archive.library.plans, order_id, "order.json")
    written = json.loads(path.read_text())
    del written["merges"]
    path.write_text(json.dumps(written))


def test_of_an_order_by_an_earlier_version_only_the_work_of_its_own_run_is_done(done: Archive) -> None:
    work_orders.place(done.library, done.plan(force=True), run_id("order"))
    as_of_an_earlier_version(done)
    dated(done, FUTURE, run_id="another")
    assert len(left(done)) == 4
    mine = (
        done.manifest()
        .filter(source_name="a.jpg")
        .with_columns(recorded_at=pl.lit(LONG_AGO), run_id=pl.lit(run_id("order")))
    )
    done.library.manifest.merge(KEY, mine)
    assert left(done) == {("b.jpg", "small"), ("b.jpg", "thumbnail")}


def test_an_order_by_an_earlier_version_that_is_handed_over_begins_anew_and_then_goes_on(done: Archive) -> None:
    library = done.library
    work_orders.place(library, done.plan(force=True), run_id("order"))
    as_of_an_earlier_version(done)
    dated(done, FUTURE)
    work_orders.hand_over(library, run_id("order"), run_id("second"))
    assert len(left(done, run_id("second"))) == 4
    done.run(force=True, sources=("a.jpg",))
    work_orders.hand_over(library, run_id("second"), run_id("third"))
    assert left(done, run_id("third")) == {("b.jpg", "small"), ("b.jpg", "thumbnail")}


def test_a_manifest_that_was_lost_since_costs_work_and_no_variant(done: Archive) -> None:
    for _ in range(3):
        dated(done, FUTURE)
    work_orders.place(done.library, done.plan(force=True), run_id("order"))
    shutil.rmtree(Path(done.library.state, "datasets", "manifest"))
    assert done.run().counts == {"adopted": 4}
    assert len(left(done)) == 4


@pytest.fixture
def orders(done: Archive) -> list[str]:
    """The ids of many orders that are placed."""
    work_orders.place(done.library, done.plan(force=True), run_id("0"))
    folder = Path(done.library.plans)
    for number in range(1, 200):
        shutil.copytree(folder / run_id("0"), folder / run_id(str(number)))
    return [run_id(str(number)) for number in range(200)]


def test_orders_that_are_carried_out_meanwhile_are_passed_over(done: Archive, orders: list[str]) -> None:
    library = done.library
    with ThreadPoolExecutor(1) as others:
        gone = others.submit(lambda: [work_orders.discard(library, order_id) for order_id in orders])
        seen = [progress.orders(library, now=datetime.now(UTC), begun={})]
        while seen[-1]:
            seen.append(progress.orders(library, now=datetime.now(UTC), begun={}))
        gone.result()
    assert {order.n_variants for order in seen[0]} == {4}


def test_nothing_is_left_of_an_order_that_is_gone(done: Archive) -> None:
    work_orders.place(done.library, done.plan(force=True), run_id("order"))
    assert work_orders.count_left(done.library, run_id("order")) == 4
    work_orders.discard(done.library, run_id("order"))
    with pytest.raises(FileNotFoundError):
        work_orders.count_left(done.library, run_id("order"))


def test_an_order_whose_folder_cannot_be_removed_is_none_any_more(done: Archive, tmp_path: Path) -> None:
    library = done.library
    work_orders.place(library, done.plan(force=True), run_id("order"))
    folder = Path(library.plans, run_id("order"))
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")  # no tree is removed through a link
    work_orders.discard(library, run_id("order"))
    assert not work_orders.is_placed(library, run_id("order"))


def test_all_of_an_order_is_on_the_disk_when_it_is_placed(done: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    synced, fsync = set[int](), os.fsync

    def noted(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    with done.library.lease() as lease:
        work_orders.place(done.library, done.plan(force=True), run_id("order"), lease=lease)
    files = list(Path(done.library.plans, run_id("order")).iterdir())
    assert {path.name for path in files} == {"lease", "rows.parquet", "thumbs.toml", "order.json"}
    assert {path.name for path in files if path.stat().st_ino not in synced} == set()


def let_a_week_pass(archive: Archive) -> None:
    """Ages all orders by eight days."""
    then = time.time() - 8 * 24 * 3600
    for folder in Path(archive.library.plans).iterdir():
        os.utime(folder, (then, then))


def placed_ids(archive: Archive) -> set[str]:
    return {order.id for order in work_orders.list_placed(archive.library)}


def test_an_order_at_which_nobody_worked_for_a_week_goes_with_the_next(done: Archive) -> None:
    work_orders.place(done.library, done.plan(force=True), run_id("forgotten"))
    let_a_week_pass(done)
    work_orders.place(done.library, done.plan(force=True), run_id("next"))
    assert placed_ids(done) == {run_id("next")}


def test_an_old_order_stays_while_a_run_goes_from_chunk_to_chunk(done: Archive) -> None:
    work_orders.place(done.library, done.plan(force=True), run_id("long"))
    let_a_week_pass(done)
    work_orders.read_chunk(done.library, run_id("long"), 0)
    work_orders.place(done.library, done.plan(force=True), run_id("next"))
    assert placed_ids(done) == {run_id("long"), run_id("next")}


def test_an_old_order_stays_while_its_command_lives_and_no_longer(done: Archive) -> None:
    library = done.library
    with library.lease() as lease:
        work_orders.place(library, done.plan(force=True), run_id("command"), lease=lease)
        let_a_week_pass(done)
        work_orders.place(library, done.plan(force=True), run_id("next"))
        assert placed_ids(done) == {run_id("command"), run_id("next")}
    let_a_week_pass(done)
    work_orders.place(library, done.plan(force=True), run_id("last"))
    assert placed_ids(done) == {run_id("last")}


def test_orders_that_go_meanwhile_stop_no_other_from_being_placed(done: Archive, orders: list[str]) -> None:
    plan, library = done.plan(force=True), done.library
    with ThreadPoolExecutor(1) as others:
        gone = others.submit(lambda: [work_orders.discard(library, order_id) for order_id in orders])
        for number in range(20):
            work_orders.place(library, plan, run_id(f"new-{number}"))
        gone.result()
    assert placed_ids(done) == {run_id(f"new-{number}") for number in range(20)}
