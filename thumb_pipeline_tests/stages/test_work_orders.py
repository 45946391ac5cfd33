"""Orders of work on disk: what is left of them while other things happen, and when they go."""

import polars as pl
import pytest

from thumb_pipeline.stages import work_orders
from thumb_pipeline.stages.next_newest import render_rows
from thumb_pipeline_tests.stages.archives import KEY, Archive
from thumb_pipeline_tests.stages.test_policy import FIRST, LATEST_ONLY, SECOND, THIRD, small_of, smalls

OTHER = "camera-2/timelapse-2"


def carried_out(archive: Archive, order_id: str) -> None:
    """Renders the one chunk of an order, as its run does."""
    library = archive.library
    rows = work_orders.chunk_rows(library, order_id, 0)
    with library.lease() as lease:
        render_rows(library, rows, lease, run_id=order_id)


def left_of_small(archive: Archive, order_id: str) -> set[str]:
    rows = work_orders.chunk_rows(archive.library, order_id, 0)
    return set(rows.filter(variant="small")["source_name"])


@pytest.fixture
def latest_only(archive: Archive) -> Archive:
    """One source, its thumbnail and its small, where only the newest capture has one."""
    archive.settings(more=LATEST_ONLY)
    archive.frame(FIRST)
    archive.run()
    return archive


def test_bulk_work_leaves_one_small_where_a_newer_capture_came_before_its_turn(latest_only: Archive) -> None:
    work_orders.place(latest_only.library, latest_only.plan(force=True), "bulk")
    latest_only.frame(SECOND)
    latest_only.run(timelapses=(KEY,), sources=(SECOND,))
    carried_out(latest_only, "bulk")
    assert smalls(latest_only) == {small_of(SECOND)}
    again = latest_only.manifest().filter(source_name=FIRST)
    assert again.select("variant", "run_id").rows() == [("thumbnail", "bulk")]


def test_the_next_capture_leaves_one_small_after_bulk_work(latest_only: Archive) -> None:
    work_orders.place(latest_only.library, latest_only.plan(force=True), "bulk")
    latest_only.frame(SECOND)
    latest_only.run()
    carried_out(latest_only, "bulk")
    latest_only.frame(THIRD)
    latest_only.run()
    assert smalls(latest_only) == {small_of(THIRD)}


def test_the_newest_small_stays_in_bulk_work(latest_only: Archive) -> None:
    latest_only.frame(SECOND)
    latest_only.run()
    work_orders.place(latest_only.library, latest_only.plan(force=True), "bulk")
    assert left_of_small(latest_only, "bulk") == {SECOND}


def test_a_refused_newest_capture_is_tried_again_by_the_order_that_says_so(latest_only: Archive) -> None:
    latest_only.other(SECOND, b"no picture at all")
    latest_only.run()
    assert smalls(latest_only) == {small_of(FIRST)}
    work_orders.place(latest_only.library, latest_only.plan(retry_failed=True), "again")
    assert left_of_small(latest_only, "again") == {SECOND}


def test_a_newer_capture_that_was_refused_supersedes_nothing(latest_only: Archive) -> None:
    work_orders.place(latest_only.library, latest_only.plan(force=True), "bulk")
    latest_only.other(SECOND, b"no picture at all")
    latest_only.run()
    assert left_of_small(latest_only, "bulk") == {FIRST}


def test_a_newer_capture_supersedes_nothing_where_all_have_the_variant(archive: Archive) -> None:
    archive.settings(more=f'{LATEST_ONLY}\n[timelapses."{OTHER}".policy]\nsmall_generation_mode = "all"')
    for key in (KEY, OTHER):
        archive.frame(FIRST, key=key)
    archive.run()
    work_orders.place(archive.library, archive.plan(force=True), "bulk")
    for key in (KEY, OTHER):
        archive.frame(SECOND, key=key)
    archive.run()
    rows = work_orders.chunk_rows(archive.library, "bulk", 0)
    assert sorted(rows.filter(pl.col("variant") == "small")["timelapse"]) == [OTHER]
    assert rows.filter(variant="thumbnail").height == 2
