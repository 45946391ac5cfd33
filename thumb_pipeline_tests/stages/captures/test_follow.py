"""Following cameras: frames that come while it runs, on real folders with real workers."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from thumb_pipeline.stages.captures.follow import Follower, Rendered, Stay
from thumb_pipeline.stages.captures.watch import Watch
from thumb_pipeline_tests.stages.archives import KEY, SETTLE_S, Archive
from thumb_pipeline_tests.stages.workers.pools import children

pytestmark = pytest.mark.quick

OTHER = "camera-2/timelapse-2"


def followed(
    archive: Archive, *deeds: Callable[[], object], linger_s: float = 0.6, stay: Stay | None = None
) -> list[Rendered]:
    """What is done while these things happen, each when nothing is left to do."""
    waiting = list(deeds)
    found = []
    with archive.library.lease() as lease:
        watch = Watch.begin(archive.library, set)
        with Follower(archive.library, watch, lease, "r") as follower:
            for done in follower.batches(stay or Stay(linger_s=linger_s, most_s=20.0)):
                if done is not None:
                    found.append(done)
                elif waiting:
                    waiting.pop(0)()
    assert not waiting
    return found


def n_rendered(found: list[Rendered]) -> int:
    return sum(counts.rendered for done in found for counts in done.result.by_timelapse.values())


def test_frames_are_rendered_as_they_come(archive: Archive) -> None:
    found = followed(archive, lambda: archive.frame("a.jpg"), lambda: None, lambda: archive.frame("b.jpg", key=OTHER))
    assert n_rendered(found) == 4
    assert archive.variant("a.jpg").exists()
    assert archive.variant("b.jpg", "thumbnail", key=OTHER).exists()


def test_a_run_that_is_kept_warm_ends_its_workers_and_meets_the_next_frame(archive: Archive) -> None:
    before, workers = children(), []
    pause: list[Callable[[], object]] = [lambda: workers.append(children() - before)] * 8
    deeds = [lambda: archive.frame("a.jpg"), *pause, lambda: archive.frame("b.jpg")]
    stay = Stay(linger_s=0.5, most_s=8.0, is_kept_warm=True)
    assert n_rendered(followed(archive, *deeds, stay=stay)) == 4
    assert any(workers)
    assert not workers[-1]


def test_a_run_ends_when_it_is_told_to_stay_otherwise(archive: Archive) -> None:
    began_s = time.monotonic()
    stay = Stay(linger_s=0.0, most_s=20.0, is_kept_warm=True)
    followed(archive, lambda: archive.settings(more="[captures]\nkeep_warm = false"), stay=stay)
    assert time.monotonic() - began_s < 15


def test_following_again_does_nothing_twice(done: Archive) -> None:
    before = {path: path.stat().st_mtime_ns for path in done.root.glob("cameras/*/*/smalls/*")}
    assert followed(done) == []
    assert {path: path.stat().st_mtime_ns for path in done.root.glob("cameras/*/*/smalls/*")} == before


def test_a_file_that_grows_is_rendered_once_it_stands_still(archive: Archive) -> None:
    whole = archive.frame("a.bmp").read_bytes()
    path = archive.path("slow.bmp")
    pieces = [lambda end=end: path.write_bytes(whole[:end]) for end in (10, 20, 300)]  # type: ignore[misc]
    found = followed(archive, *pieces, linger_s=1.5)
    assert sum(counts.pending for done in found for counts in done.found.values()) >= 1
    assert time.time() - path.stat().st_mtime >= SETTLE_S
    assert archive.manifest().filter(source_name="slow.bmp").height == 2


def test_one_timelapse_that_is_refused_does_not_stop_the_others(archive: Archive) -> None:
    archive.frame("a.jpg")
    archive.frame("b.jpg", key=OTHER)
    smalls = Path(archive.library.variants(KEY), "smalls")
    smalls.symlink_to(archive.frames())
    found = followed(archive)
    assert "is a link" in found[0].trouble[KEY]
    assert archive.variant("b.jpg", key=OTHER).exists()
    assert {path.name for path in archive.frames().iterdir()} == {"a.jpg"}


def test_changed_settings_hold_from_the_next_frame_on(done: Archive) -> None:
    def change() -> None:
        done.settings(small="quality = 20")
        done.frame("c.jpg")

    followed(done, change)
    prints = done.manifest().filter(variant="small")["spec_fingerprint"].to_list()
    assert prints[1] != prints[2]


def test_settings_that_cannot_be_used_leave_the_last_ones_in_force(archive: Archive) -> None:
    def spoil() -> None:
        (archive.root / "thumbs.toml").write_text("nonsense")
        archive.frame("b.jpg")

    before = archive.library
    found = followed(archive, spoil)
    assert n_rendered(found) == 2
    assert Path(before.variants(KEY), "smalls", "b.jpg_small.jpg").exists()


@pytest.mark.parametrize("table", ["manifest", "inventory", "damage"])
def test_one_timelapse_whose_records_are_damaged_does_not_stop_the_others(archive: Archive, table: str) -> None:
    archive.frame("a.jpg")
    followed(archive)
    folder = archive.root / ".thumb_pipeline" / "datasets" / table / KEY
    folder.mkdir(parents=True, exist_ok=True)
    for path in [*folder.glob("*.parquet"), folder / "0000000000-0000000009.parquet"]:
        path.write_bytes(b"PAR1 rubbish PAR1")
    archive.frame("later.jpg")
    archive.frame("b.jpg", key=OTHER)
    followed(archive)
    assert archive.variant("b.jpg", key=OTHER).exists()


def test_one_timelapse_whose_variants_cannot_be_written_does_not_stop_the_others(archive: Archive) -> None:
    archive.frame("a.jpg")
    archive.frame("b.jpg", key=OTHER)
    smalls = Path(archive.library.variants(KEY), "smalls")
    smalls.write_bytes(b"a file where a folder should be")
    found = followed(archive, lambda: archive.frame("c.jpg", key=OTHER))
    assert "move away" in found[0].trouble[KEY]
    assert archive.variant("b.jpg", key=OTHER).exists()
    assert archive.variant("c.jpg", key=OTHER).exists()
    assert smalls.read_bytes() == b"a file where a folder should be"
