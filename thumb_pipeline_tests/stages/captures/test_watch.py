"""What a watcher notices, on real folders; each test begins with a library in which all is rendered."""

import os
import shutil
import time
from collections.abc import Collection
from pathlib import Path

import pytest

from thumb_pipeline.stages.captures import memory
from thumb_pipeline.stages.captures.watch import Watch
from thumb_pipeline.stages.rendering import accept_plan, work_orders
from thumb_pipeline.storage.folders import ArchiveUnavailable
from thumb_pipeline.storage.leases import LockTimeout
from thumb_pipeline_tests.stages.archives import KEY, SETTLE_S, Archive, run_id

pytestmark = pytest.mark.quick

OTHER = "camera-2/timelapse-2"


def watch_of(archive: Archive, live_runs: Collection[str] = ()) -> Watch:
    return Watch.begin(archive.library, lambda: live_runs)


def looked(archive: Archive, watch: Watch) -> dict[str, list[str]]:
    """What waits once a folder that has just moved is listed."""
    watch.look(archive.library)
    time.sleep(0.06)
    watch.look(archive.library)
    return {key: names for key, names in watch.backlog.items() if names}


def marks(archive: Archive) -> dict[str, memory.Mark]:
    return memory.read_marks(archive.library)


def rendered(archive: Archive, watch: Watch, refused_in: Collection[str] = ()) -> None:
    """Renders the backlog as a run does."""
    batch = watch.take(1000)
    names = tuple(name for found in batch.values() for name in found)
    archive.run(timelapses=tuple(batch), sources=names, is_hint=True)
    watch.settle(archive.library, batch, refused_in)


def test_a_lost_memory_finds_nothing_new_where_all_is_recorded(done: Archive) -> None:
    assert looked(done, watch_of(done)) == {}
    assert marks(done)[KEY].mtime_ns == os.stat(done.frames()).st_mtime_ns


def test_a_source_that_was_listed_but_never_rendered_is_found(done: Archive) -> None:
    done.frame("new.jpg")
    accept_plan.record(done.library, done.plan())  # and then its run was killed
    assert looked(done, watch_of(done)) == {KEY: ["new.jpg"]}


def test_new_and_replaced_sources_are_found_and_the_newest_is_last(done: Archive) -> None:
    watch = watch_of(done)
    looked(done, watch)
    done.frame("c.jpg")
    replacement = done.frame("x.tmp", color=9)
    replacement.rename(done.path("a.jpg"))
    assert looked(done, watch) == {KEY: ["c.jpg", "a.jpg"]}


def test_a_folder_is_not_listed_again_until_it_moves(done: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    looked(done, watch_of(done))
    monkeypatch.setattr(
        "thumb_pipeline.stages.captures.watch.list_files", lambda folder: pytest.fail(f"{folder} was listed")
    )
    assert looked(done, watch_of(done)) == {}


def test_a_folder_is_remembered_only_when_its_sources_are_recorded(done: Archive) -> None:
    before = dict(marks(done))
    done.frame("new.jpg")
    watch = watch_of(done)
    looked(done, watch)
    assert marks(done) == before
    assert looked(done, watch_of(done)) == {KEY: ["new.jpg"]}
    rendered(done, watch)
    assert marks(done)[KEY].mtime_ns == os.stat(done.frames()).st_mtime_ns
    assert looked(done, watch_of(done)) == {}


def test_a_second_file_in_the_same_tick_of_a_coarse_clock_is_found(done: Archive) -> None:
    second = 1_800_000_000 * 10**9
    done.frame("c.jpg")
    os.utime(done.frames(), ns=(second, second))
    watch = watch_of(done)
    assert looked(done, watch) == {KEY: ["c.jpg"]}
    rendered(done, watch)
    done.frame("d.jpg")
    os.utime(done.frames(), ns=(second, second))
    time.sleep(2.2)
    assert looked(done, watch) == {KEY: ["d.jpg"]}


def test_hidden_and_temporary_names_start_nothing(done: Archive) -> None:
    done.other(".upload", b"x")
    done.other("d.jpg.part", b"x")
    assert looked(done, watch_of(done)) == {}
    assert KEY in marks(done)


def test_a_file_being_written_is_taken_when_it_stood_still(done: Archive) -> None:
    done.other("slow.bmp", b"BM")
    watch = watch_of(done)
    assert looked(done, watch) == {KEY: ["slow.bmp"]}
    rendered(done, watch)
    assert watch.n_unsettled == 1
    assert marks(done)[KEY].pending == ("slow.bmp",)
    for _ in range(3):
        time.sleep(SETTLE_S * 1.2)
        done.other("slow.bmp", done.path("slow.bmp").read_bytes() + b"more")
        watch.look(done.library)
        assert not watch.backlog.get(KEY)
    time.sleep(SETTLE_S * 1.5)
    watch.look(done.library)
    assert watch.backlog[KEY] == ["slow.bmp"]


def test_another_watcher_goes_on_with_what_was_pending(done: Archive) -> None:
    done.other("slow.bmp", b"BM")
    watch = watch_of(done)
    looked(done, watch)
    rendered(done, watch)
    successor = watch_of(done)
    assert successor.n_unsettled == 1
    for _ in range(3):
        time.sleep(SETTLE_S * 1.2)
        successor.look(done.library)
    assert successor.backlog[KEY] == ["slow.bmp"]


def failed_halfway(done: Archive) -> tuple[Watch, bytes]:
    """A watch that has seen `c.jpg` fail, as its writer paused; and the whole file."""
    whole = done.frame("c.jpg").read_bytes()
    done.path("c.jpg").unlink()
    watch = watch_of(done)
    done.other("c.jpg", whole[:200])
    looked(done, watch)
    rendered(done, watch)
    time.sleep(SETTLE_S * 1.2)
    watch.look(done.library)
    rendered(done, watch, refused_in=[KEY])
    assert done.manifest().filter(source_name="c.jpg")["state"].to_list() == ["failed", "failed"]
    return watch, whole


def test_a_writer_that_paused_too_long_is_met_again_when_it_goes_on(done: Archive) -> None:
    watch, whole = failed_halfway(done)
    done.other("c.jpg", whole)
    for _ in range(3):
        time.sleep(SETTLE_S * 2.2)
        watch.look(done.library)
    assert watch.backlog[KEY] == ["c.jpg"]


def test_another_watcher_starts_nothing_for_what_failed_and_stayed_as_it_was(done: Archive) -> None:
    failed_halfway(done)
    successor = watch_of(done)
    for _ in range(4):
        time.sleep(SETTLE_S * 1.5)
        successor.look(done.library)
        assert not successor.n_waiting
    assert [source.name for source in marks(done)[KEY].refused] == ["c.jpg"]


def test_another_watcher_meets_what_failed_when_it_goes_on(done: Archive) -> None:
    _, whole = failed_halfway(done)
    successor = watch_of(done)
    done.other("c.jpg", whole)
    for _ in range(3):
        time.sleep(SETTLE_S * 2.2)
        successor.look(done.library)
    assert successor.backlog[KEY] == ["c.jpg"]


def test_a_whole_frame_renamed_over_one_that_failed_is_found_at_once(done: Archive) -> None:
    watch, _ = failed_halfway(done)
    for source in watch._folders[KEY].unsettled.values():
        source.refused_at_s = time.time() - 1800  # by now it is looked at every few minutes only
    done.frame("x.tmp", color=9).rename(done.path("c.jpg"))
    assert looked(done, watch) == {KEY: ["c.jpg"]}


def test_all_sources_that_failed_together_are_met_again_when_they_go_on(done: Archive) -> None:
    watch, names = watch_of(done), [f"half-{number:02d}.jpg" for number in range(60)]
    whole = done.frame("whole.jpg").read_bytes()
    for name in names:
        done.other(name, whole[:200])
    looked(done, watch)
    rendered(done, watch)
    time.sleep(SETTLE_S * 1.2)
    watch.look(done.library)
    rendered(done, watch, refused_in=[KEY])
    for name in names:
        done.other(name, whole)
    for _ in range(3):
        time.sleep(SETTLE_S * 2.2)
        watch.look(done.library)
    assert sorted(watch.backlog[KEY]) == names


def test_a_folder_that_never_rests_is_listed_all_the_same(done: Archive) -> None:
    watch = watch_of(done)
    looked(done, watch)
    deadline_s, number = time.monotonic() + 10.0, 0
    while not watch.backlog.get(KEY) and time.monotonic() < deadline_s:
        done.frame(f"new-{number:03d}.jpg")
        watch.look(done.library)
        number += 1
        time.sleep(0.03)
    assert watch.backlog[KEY]


def test_an_emptied_folder_starts_nothing_and_forgets_nothing(done: Archive) -> None:
    before = done.inventory()
    for path in done.frames().iterdir():
        path.unlink()
    assert looked(done, watch_of(done)) == {}
    assert done.inventory().equals(before)


def test_a_folder_that_is_gone_starts_nothing(done: Archive) -> None:
    shutil.rmtree(done.root / "cameras" / "camera-1")
    watch = watch_of(done)
    assert looked(done, watch) == {}
    assert watch.timelapses == set()


def test_a_folder_that_cannot_be_read_is_named_and_the_others_go_on(done: Archive) -> None:
    done.frame("a.jpg", key=OTHER)
    shutil.rmtree(done.frames())
    done.frames().symlink_to(done.root / "not-mounted")
    watch = watch_of(done)
    assert looked(done, watch) == {OTHER: ["a.jpg"]}
    assert "check the disk" in watch.trouble[KEY]


def test_trouble_is_told_as_long_as_a_timelapse_is_left_alone(done: Archive) -> None:
    watch = watch_of(done)
    looked(done, watch)
    watch.set_aside(KEY, "its records are damaged")
    for _ in range(2):
        watch.look(done.library)
        assert watch.trouble == {KEY: "its records are damaged"}


def test_a_camera_whose_disk_is_not_mounted_does_not_stop_the_others(done: Archive) -> None:
    done.frame("a.jpg", key=OTHER)
    shutil.rmtree(done.root / "cameras" / "camera-1")
    (done.root / "cameras" / "camera-1").symlink_to(done.root / "not-mounted")
    watch = watch_of(done)
    assert looked(done, watch) == {OTHER: ["a.jpg"]}


def test_an_archive_that_is_not_there_is_no_empty_archive(done: Archive) -> None:
    cameras = done.root / "cameras"
    cameras.rename(done.root / "elsewhere")
    cameras.symlink_to(done.root / "not-mounted")
    with pytest.raises(ArchiveUnavailable, match="check the disk"):
        watch_of(done).look(done.library)


def test_what_a_living_run_will_render_is_left_to_it(done: Archive) -> None:
    done.frame("c.jpg")
    library = done.library
    work_orders.place(library, done.plan(), run_id("its-run"))
    done.frame("d.jpg")
    assert looked(done, watch_of(done, {run_id("its-run")})) == {KEY: ["d.jpg"]}
    assert looked(done, watch_of(done)) == {KEY: ["c.jpg", "d.jpg"]}


def test_what_was_replaced_since_a_living_run_planned_it_is_not_left_to_it(done: Archive) -> None:
    done.frame("c.jpg")
    work_orders.place(done.library, done.plan(), run_id("its-run"))
    done.frame("x.tmp", color=9).rename(done.path("c.jpg"))
    assert looked(done, watch_of(done, {run_id("its-run")})) == {KEY: ["c.jpg"]}


def test_what_a_living_command_will_render_is_left_to_it(done: Archive) -> None:
    done.frame("c.jpg")
    with done.library.lease() as lease:
        work_orders.place(done.library, done.plan(), run_id("a-command"), lease=lease)
        assert looked(done, watch_of(done)) == {}
    assert looked(done, watch_of(done)) == {KEY: ["c.jpg"]}


def test_a_list_for_a_run_saves_it_the_listing(done: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    done.frame("c.jpg")
    first = watch_of(done)
    looked(done, first)
    assert memory.place_list(done.library, "1-00000a", first.changes()) == 1
    second = watch_of(done)
    second.receive(memory.read_list(done.library, "1-00000a"))
    monkeypatch.setattr(
        "thumb_pipeline.stages.captures.watch.list_files", lambda folder: pytest.fail(f"{folder} was listed")
    )
    second.look(done.library)
    assert second.backlog[KEY] == ["c.jpg"]
    rendered(done, second)
    assert KEY in marks(done)


def test_where_much_moved_a_look_lists_a_part_and_the_next_one_goes_on(
    done: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thumb_pipeline.stages.captures.watch._LISTING_S", 0.0)
    keys = [f"camera-3/timelapse-{number}" for number in range(3)]
    for key in keys:
        done.frame("a.jpg", key=key)
    watch = watch_of(done)
    watch.look(done.library)
    time.sleep(0.06)
    n_looks = 0
    while set(watch.backlog) < set(keys):
        watch.look(done.library)
        n_looks += 1
        assert watch.is_behind or set(watch.backlog) >= set(keys)
        assert n_looks < 10


def test_a_folder_that_is_slow_to_list_does_not_starve_those_behind_it(
    done: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thumb_pipeline.stages.captures.watch._LISTING_S", 0.0)
    done.frame("a.jpg", key=OTHER)
    watch = watch_of(done)
    for number in range(4):  # the first folder has moved at each look
        done.frame(f"new-{number}.jpg")
        watch.look(done.library)
        time.sleep(0.06)
        watch.look(done.library)
    assert watch.backlog[OTHER] == ["a.jpg"]


def test_a_damaged_memory_is_a_lost_one(done: Archive) -> None:
    looked(done, watch_of(done))
    path = Path(done.library.state, "watch", "folders.json")
    for damage in ("", "[]", '{"version": 1, "folders": 3}', '{"version": 1, "folders": {"a": 1}}'):
        path.write_text(damage)
        assert marks(done) == {}
    assert looked(done, watch_of(done)) == {}


def test_there_is_one_watcher_at_a_time(done: Archive) -> None:
    with memory.watching(done.library), pytest.raises(LockTimeout), memory.watching(done.library):
        pass
    with memory.watching(done.library):
        pass


def test_a_list_for_a_run_names_what_stands_still_at_last(done: Archive) -> None:
    done.other("slow.bmp", b"BM")
    watch = watch_of(done)
    looked(done, watch)
    rendered(done, watch)
    time.sleep(SETTLE_S * 1.5)
    watch.look(done.library)
    successor = watch_of(done)
    successor.receive(watch.changes())
    assert successor.take(10) == {KEY: ["slow.bmp"]}


@pytest.mark.parametrize(
    "policy",
    [
        "generate_thumbnails = false",
        'variants = ["small"]\nsmall_generation_mode = "latest_only"',
        'variants = ["small"]\n[policy.retention.small]\nkeep_days = 1',
    ],
)
def test_captures_of_which_the_policy_asks_nothing_do_not_wait(done: Archive, policy: str) -> None:
    done.settings(more=f"[policy]\n{policy}")
    done.run()
    for name in ("timelapse-1_20010101_000000.jpg", "timelapse-1_20010102_000000.jpg"):
        done.frame(name)
    watch = watch_of(done)
    looked(done, watch)
    rendered(done, watch)  # a look that is the first to see them may take them for asked for
    assert looked(done, watch) == {}
    assert watch.n_unsettled == 0
