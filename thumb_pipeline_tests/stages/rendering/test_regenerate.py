"""What `regenerate` chooses, and what is left of an order that was stopped."""

import uuid
from datetime import date

import pytest

from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline.stages.planning.plan import Plan
from thumb_pipeline.stages.rendering import work_orders
from thumb_pipeline.stages.rendering.chunk import render_chunk
from thumb_pipeline.stages.rendering.regenerate import Regeneration, plan_regeneration
from thumb_pipeline.storage.folders import ArchiveUnavailable
from thumb_pipeline_tests.stages.archives import KEY, Archive
from thumb_pipeline_tests.stages.archives import run_id as id_of

pytestmark = pytest.mark.quick

OTHER = "camera-2/timelapse-2"
DAYS = [f"timelapse-1_2025042{day}_120000.jpg" for day in range(4)]


@pytest.fixture
def filled(archive: Archive) -> Archive:
    """Four days of one camera, one frame of another, a broken frame, all of them rendered as far as they can be."""
    for name in DAYS:
        archive.frame(name)
    archive.frame("b.jpg", key=OTHER)
    archive.other("broken.jpg", b"no picture at all", key=OTHER)
    archive.run()
    return archive


def planned(archive: Archive, **wanted: object) -> Plan:
    library = archive.library
    with library.lease() as lease:
        return plan_regeneration(library, Regeneration(**wanted), lease)  # type: ignore[arg-type]


def sources(plan: Plan) -> set[str]:
    return set(plan.rows["source_name"])


def test_without_a_choice_everything_is_rendered_again(filled: Archive) -> None:
    assert planned(filled).rows.height == 12


def test_a_camera_stands_for_its_timelapses_and_joins_those_that_are_named(filled: Archive) -> None:
    assert sources(planned(filled, cameras=("camera-1",))) == set(DAYS)
    assert sources(planned(filled, cameras=("camera-1",), timelapses=(OTHER,))) == {*DAYS, "b.jpg", "broken.jpg"}


def test_a_camera_whose_disk_is_away_refuses_its_own_regeneration_only(filled: Archive) -> None:
    (filled.root / "cameras" / "camera-3").symlink_to(filled.root / "not-mounted")
    assert sources(planned(filled, cameras=("camera-1",))) == set(DAYS)
    with pytest.raises(ArchiveUnavailable, match="camera-3"):
        planned(filled, cameras=("camera-3",))


def test_a_day_begins_at_local_midnight(filled: Archive) -> None:
    filled.settings(top='timezone = "Pacific/Kiritimati"')  # UTC+14
    assert sources(planned(filled, timelapses=(KEY,), since=date(2025, 4, 22))) == set(DAYS[2:])


def test_a_reason_chooses_the_sources_that_were_refused_for_it(filled: Archive) -> None:
    assert sources(planned(filled, failed="not_an_image")) == {"broken.jpg"}
    assert sources(planned(filled, failed="truncated")) == set()


def test_a_refused_newest_capture_is_tried_again_in_the_variant_that_only_the_newest_has(archive: Archive) -> None:
    archive.settings(more='[policy]\nsmall_generation_mode = "latest_only"')
    archive.frame(DAYS[0])
    archive.other(DAYS[1], b"no picture at all")
    archive.run()
    rows = planned(archive, failed="not_an_image").rows.select("source_name", "variant").sort("variant").rows()
    assert rows == [(DAYS[1], "small"), (DAYS[1], "thumbnail")]


def test_a_limit_takes_the_newest_sources_with_all_their_variants(filled: Archive) -> None:
    plan = planned(filled, timelapses=(KEY,), limit=2)
    assert sources(plan) == set(DAYS[2:])
    assert plan.rows.height == 4


def test_one_variant_of_one_source(filled: Archive) -> None:
    plan = planned(filled, timelapses=(KEY,), sources=(DAYS[0],), variants=("small",))
    assert plan.rows.select("source_name", "variant").rows() == [(DAYS[0], "small")]


@pytest.mark.parametrize("wanted", [{"cameras": ("camera-9",)}, {"failed": "brokn"}, {"timelapses": ("camera-1/x",)}])
def test_what_does_not_exist_is_refused(filled: Archive, wanted: dict[str, object]) -> None:
    with pytest.raises(Refused):
        planned(filled, **wanted)


def test_what_was_recorded_since_an_order_was_placed_is_not_done_again(filled: Archive) -> None:
    library, asked = filled.library, Regeneration(timelapses=(KEY,)).asked
    run_id = str(uuid.uuid4())
    order = work_orders.place(library, planned(filled, timelapses=(KEY,)), run_id, asked=asked)
    rows = work_orders.read_chunk(library, run_id, 0)
    assert rows.height == order.n_variants == 8
    with library.lease() as lease:
        render_chunk(library, rows.filter(rows["source_name"] == DAYS[1]), lease, run_id=run_id)
    left = work_orders.read_chunk(library, run_id, 0)
    assert set(left["source_name"]) == {DAYS[0], DAYS[2], DAYS[3]}
    assert work_orders.count_left(library, run_id) == 6


def test_an_order_is_found_by_what_was_asked_and_goes_over_to_another_run(filled: Archive) -> None:
    library, asked = filled.library, Regeneration(timelapses=(KEY,)).asked
    work_orders.place(library, planned(filled, timelapses=(KEY,)), id_of("first"), asked=asked)
    assert work_orders.list_unfinished(library, Regeneration(limit=1).asked) is None
    assert work_orders.list_unfinished(library, asked) == id_of("first")
    assert work_orders.hand_over(library, id_of("first"), id_of("second")).id == id_of("second")
    assert not work_orders.is_placed(library, id_of("first"))
    work_orders.discard(library, id_of("second"))
    assert work_orders.list_unfinished(library, asked) is None
