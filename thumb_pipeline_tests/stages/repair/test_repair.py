"""What `repair` brings back without rendering, and what it leaves alone, on real files."""

import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from thumb_pipeline.stages.inventory.selection import find_timelapses
from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline.stages.repair.repair import Repaired, repair
from thumb_pipeline_tests.stages.archives import KEY, Archive, states, touch
from thumb_pipeline_tests.stages.verification.test_verify import counts, verified

pytestmark = pytest.mark.quick

OTHER = "camera-1/timelapse-2"


def repaired(archive: Archive, *keys: str, apply: bool = True, accept_shrink: bool = False) -> Repaired:
    """Repairs; a dry run before it must promise the same numbers, and nothing may happen to a source."""
    library = archive.library
    before, sources = states(archive.root / "cameras"), source_states(archive)
    with library.lease() as lease:
        found = find_timelapses(library, keys)
        planned = repair(library, found, lease, apply=False, accept_shrink=accept_shrink)
        assert states(archive.root / "cameras") == before
        if not apply:
            return planned
        done = repair(library, found, lease, apply=True, accept_shrink=accept_shrink)
    assert {**done.document(), **done.left()} == {**planned.document(), **planned.left()}
    assert source_states(archive) == sources
    return done


def source_states(archive: Archive) -> dict[bytes, tuple[str, int]]:
    return {path: state for path, state in states(archive.root / "cameras").items() if b"/frames/" in path}


def lose_manifest(archive: Archive) -> None:
    shutil.rmtree(Path(archive.library.state, "datasets", "manifest"))


def lose_records(archive: Archive) -> None:
    shutil.rmtree(Path(archive.library.state, "datasets"))


def without_provenance(path: Path) -> None:
    """The same picture as another program would have saved it."""
    with Image.open(path) as picture:
        pixels = Image.new("RGB", picture.size)
        pixels.paste(picture)
    pixels.save(path, "JPEG")


def is_valid(archive: Archive) -> bool:
    part = verified(archive)
    return set(counts(part)) <= {"valid"} and set(counts(part, "thumbnail")) <= {"valid"} and part.findings.is_empty()


def test_a_library_in_order_is_left_as_it_is(done: Archive) -> None:
    came_to = repaired(done)
    assert set(came_to.document().values()) == set(came_to.left().values()) == {0}


def test_an_empty_library_has_nothing_to_repair(archive: Archive) -> None:
    archive.frames().rmdir()
    archive.frames().parent.rmdir()
    assert set(repaired(archive).document().values()) == {0}


def test_a_renamed_variant_goes_back_to_its_name(done: Archive) -> None:
    made = done.variant("a.jpg")
    made.rename(made.with_name("holiday.jpg"))
    assert repaired(done).document() == {
        "orphaned_files_found": 1,
        "files_matched": 1,
        "files_unmatched": 0,
        "files_deleted": 0,
        "records_updated": 1,
        "timelapses_affected": 1,
    }
    assert is_valid(done)
    assert done.run().counts == {"unchanged": 4}


def test_variants_of_a_renamed_source_follow_it_and_the_old_records_go(done: Archive) -> None:
    done.path("a.jpg").rename(done.path("c.jpg"))
    came_to = repaired(done)
    assert came_to.moved.height == came_to.dropped.height == 2
    assert done.manifest()["source_name"].to_list() == ["b.jpg", "b.jpg", "c.jpg", "c.jpg"]
    assert done.manifest()["render_ms"].is_not_null().all()
    assert done.inventory()["width_px"].is_not_null().all()
    assert is_valid(done)
    assert done.run().counts == {"unchanged": 4}


def test_a_renamed_source_that_was_copied_without_its_mtime_is_known_by_its_bytes(done: Archive) -> None:
    done.path("a.jpg").rename(done.path("c.jpg"))
    touch(done.path("c.jpg"))
    lose_records(done)
    assert repaired(done).moved.height == 2
    assert is_valid(done)


def test_variants_of_a_renamed_source_are_rebuilt_from_the_files_like_any_other(done: Archive) -> None:
    done.path("a.jpg").rename(done.path("c.jpg"))
    assert repaired(done).moved.height == 2
    lose_records(done)
    assert repaired(done).adopted.height == 4
    assert is_valid(done)


def test_a_source_with_the_same_size_and_mtime_and_other_bytes_is_no_match(archive: Archive) -> None:
    first = archive.frame("a.jpg", color=1)
    archive.run()
    status, n_bytes = first.stat(), len(first.read_bytes())
    first.unlink()
    other = archive.frame("b.jpg", color=9)
    data = other.read_bytes()
    other.write_bytes(data + bytes(n_bytes - len(data)) if len(data) < n_bytes else data[:n_bytes])
    os.utime(other, ns=(status.st_mtime_ns, status.st_mtime_ns))
    came_to = repaired(archive, accept_shrink=True)
    assert (came_to.moved.height, came_to.unmatched.height) == (0, 2)


def test_a_frame_that_moved_to_another_timelapse_takes_its_variants_along(done: Archive) -> None:
    done.frame("z.jpg", key=OTHER)
    done.run()
    done.path("a.jpg").rename(done.path("a.jpg", OTHER))
    came_to = repaired(done)
    assert came_to.timelapses == [KEY, OTHER]
    assert came_to.moved.height == came_to.dropped.height == 2
    assert done.variant("a.jpg", key=OTHER).is_file()
    assert not done.variant("a.jpg").exists()
    assert is_valid(done)


def test_only_the_chosen_timelapses_are_touched(done: Archive) -> None:
    done.frame("z.jpg", key=OTHER)
    done.run()
    done.path("a.jpg").rename(done.path("a.jpg", OTHER))
    assert repaired(done, KEY).unmatched.height == 2
    assert not done.variant("a.jpg", key=OTHER).exists()


def test_variant_folders_that_were_mixed_up_are_sorted_out(done: Archive) -> None:
    top = done.frames().parent
    (top / "smalls").rename(top / "other")
    (top / "thumbnails").rename(top / "smalls")
    (top / "other").rename(top / "thumbnails")
    assert repaired(done).moved.height == 4
    assert is_valid(done)


def test_a_lost_manifest_is_rebuilt_from_the_variants(done: Archive) -> None:
    lose_manifest(done)
    came_to = repaired(done)
    assert came_to.document()["records_updated"] == 4
    assert done.manifest()["origin"].unique().to_list() == ["adopted"]
    assert is_valid(done)


def test_a_disk_restored_with_other_mtimes_is_recorded_anew(done: Archive) -> None:
    made = done.manifest()
    for folder in ("frames", "smalls", "thumbnails"):
        for path in (done.frames().parent / folder).iterdir():
            touch(path)
    came_to = repaired(done)
    assert (came_to.adopted.height, came_to.n_for_generate) == (4, 0)
    assert done.manifest()["render_ms"].to_list() == made["render_ms"].to_list()
    assert is_valid(done)
    assert done.run().counts == {"unchanged": 4}


def test_a_touched_source_with_other_bytes_is_left_to_generate(done: Archive) -> None:
    path = done.path("a.jpg")
    path.write_bytes(path.read_bytes()[:-2] + b"\xff\xd9")
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(bytes(data))
    touch(path)
    came_to = repaired(done)
    assert (came_to.adopted.height, came_to.n_for_generate) == (0, 2)


def test_an_exif_date_survives_a_restore(archive: Archive) -> None:
    archive.frame("a.jpg", exif="2024:05:06 07:08:09")
    archive.run()
    dated = archive.inventory()["captured_at"].to_list()
    touch(archive.path("a.jpg"))
    repaired(archive)
    assert archive.inventory()["captured_at"].to_list() == dated


@pytest.mark.parametrize(
    "wrong",
    [
        "smalls/timelapse-1_thumb_20250422_143022.jpg",  # the other folder
        "thumbnails/timelapse-1_thumb_20250422_143022.JPEG",
        "thumbnails/timelapse-1_mini_20250422_143022.jpg",
        "thumbnails/TIMELAPSE-1_THUMB_20250422_143022.JPG",
        "thumbnails/timelapse-1_20250422_143022.jpg",
        "thumbnails/timelapse-1_20250422_143022_thumb.jpg",
        "thumbnails/timelapse-1_20250422_143022.jpg_thumb.jpg",
        "thumbnails/timelapse-1_thumb_day003_143022.jpg",
        "thumbnails/timelapse-1_thumb_2025-04-22T14-30-22.jpg",
    ],
)
def test_a_file_without_provenance_is_told_by_its_name_and_its_dimensions(archive: Archive, wrong: str) -> None:
    archive.settings(more=f'[timelapses."{KEY}"]\nstart_date = 2025-04-20')
    name = "timelapse-1_20250422_143022.jpg"
    archive.frame(name)
    archive.frame("timelapse-1_20250422_143023.jpg", color=9)
    archive.run()
    made = archive.variant(name, "thumbnail")
    without_provenance(made)
    made.rename(archive.frames().parent / wrong)
    assert repaired(archive).document()["files_matched"] == 1
    assert archive.manifest()["origin"].to_list().count("trusted") == 1
    assert is_valid(archive)


def test_a_name_states_its_timelapse_wherever_the_file_lies(done: Archive) -> None:
    name = "timelapse-2_20250422_143022.jpg"
    done.frame(name, key=OTHER)
    done.run()
    made = done.variant(name, key=OTHER)
    without_provenance(made)
    made.rename(done.frames().parent / "smalls" / made.name)
    assert repaired(done).moved["to_timelapse"].to_list() == [OTHER]
    assert is_valid(done)


@pytest.mark.parametrize("size", [(31, 24), (16, 12)])
def test_a_file_without_provenance_and_with_other_dimensions_is_not_adopted(
    done: Archive, size: tuple[int, int]
) -> None:
    made = done.variant("a.jpg")
    made.unlink()
    Image.new("RGB", size).save(made.with_suffix(".jpeg"), "JPEG")
    assert repaired(done).unmatched.height == 1


def test_a_cut_file_is_not_adopted_with_provenance_or_without(done: Archive) -> None:
    for name in ("a.jpg", "b.jpg"):
        made = done.variant(name)
        if name == "b.jpg":
            without_provenance(made)
        made.write_bytes(made.read_bytes()[:-40])
        made.rename(made.with_suffix(".jpeg"))
    assert repaired(done).unmatched.height == 2


def test_a_name_that_could_mean_two_sources_matches_none(archive: Archive) -> None:
    archive.frame("a.jpg")
    archive.frame("A.JPG", color=7)
    archive.run()
    made = archive.variant("a.jpg")
    without_provenance(made)
    made.rename(made.with_name("a_small.jpg"))
    assert repaired(archive).unmatched.height == 1


def test_a_copy_whose_place_is_taken_is_matched_and_stays(done: Archive) -> None:
    made = done.variant("a.jpg")
    copy = made.with_name("a copy.jpg")
    copy.write_bytes(made.read_bytes())
    came_to = repaired(done)
    assert came_to.document()["files_matched"] == came_to.left()["files_redundant"] == 1
    assert copy.is_file()
    assert came_to.document()["records_updated"] == 0


def test_of_two_copies_one_is_moved(done: Archive) -> None:
    made = done.variant("a.jpg")
    for name in ("1.jpg", "2.jpg"):
        made.with_name(name).write_bytes(made.read_bytes())
    made.unlink()
    came_to = repaired(done)
    assert (came_to.moved.height, came_to.redundant.height) == (1, 1)
    assert made.is_file()


def test_sources_with_the_same_bytes_get_a_variant_each(archive: Archive) -> None:
    for n in range(6):
        archive.frame(f"{n}.jpg")
    archive.run()
    for n in range(6):
        archive.path(f"{n}.jpg").rename(archive.path(f"new{n}.jpg"))
    assert repaired(archive).moved.height == 12
    assert is_valid(archive)


def test_a_stale_variant_is_not_brought_back(done: Archive) -> None:
    made = done.variant("a.jpg")
    made.rename(made.with_name("old.jpg"))
    done.settings(small="quality = 40")
    assert repaired(done).unmatched.height == 1


def test_foreign_and_unfinished_files_stay_where_they_are(done: Archive) -> None:
    folder = done.variant("a.jpg").parent
    for name in ("README.txt", ".tp-0badcafe-1-1"):
        (folder / name).write_bytes(b"x")
    came_to = repaired(done)
    assert came_to.unmatched.height == came_to.n_orphans == 2
    assert (folder / "README.txt").is_file()


@pytest.mark.parametrize("name", [b"50%.jpg", b"\xff\xfe.jpg", b"n" * 250 + b".jpg", b"line\nbreak.jpg", b"#?.jpg"])
def test_names_of_any_bytes_find_their_way_back(archive: Archive, name: bytes) -> None:
    archive.frame(b"plain.jpg", color=5)
    archive.frame(name)
    archive.run()
    archive.path(b"plain.jpg").rename(archive.path(b"x" + name[:200]))
    made = archive.variant(name)
    made.rename(made.with_name(os.fsdecode(b"\xfe%" + b"m" * 240 + b".jpg")))
    assert repaired(archive).moved.height == 3
    assert is_valid(archive)


def test_records_of_nothing_are_dropped(done: Archive) -> None:
    done.path("a.jpg").unlink()
    for variant in ("small", "thumbnail"):
        done.variant("a.jpg", variant).unlink()
    came_to = repaired(done)
    assert came_to.document()["records_updated"] == came_to.dropped.height == 2
    assert done.manifest()["source_name"].unique().to_list() == ["b.jpg"]


def test_the_record_of_an_orphan_stays_as_long_as_its_file(done: Archive) -> None:
    done.path("a.jpg").unlink()
    came_to = repaired(done)
    assert (came_to.unmatched.height, came_to.dropped.height) == (2, 0)
    assert done.manifest().height == 4


@pytest.mark.parametrize("apply", [False, True])
def test_a_listing_that_is_not_believed_refuses_everything(done: Archive, apply: bool) -> None:
    made = done.variant("a.jpg")
    made.rename(made.with_name("x.jpg"))
    done.frames().rename(done.root / "elsewhere")
    before, rows = states(done.root / "cameras"), done.inventory()
    library = done.library
    with library.lease() as lease, pytest.raises(Refused, match="--accept-shrink"):
        repair(library, find_timelapses(library, ()), lease, apply=apply)
    assert states(done.root / "cameras") == before
    assert done.inventory().equals(rows)


def test_a_linked_variant_folder_is_refused(done: Archive) -> None:
    folder = done.variant("a.jpg").parent
    folder.rename(done.root / "elsewhere")
    folder.symlink_to(done.root / "elsewhere")
    library = done.library
    with library.lease() as lease, pytest.raises(Refused, match="link"):
        repair(library, [KEY], lease, apply=True)


def test_variants_below_another_root_find_their_way_back(archive: Archive, tmp_path: Path) -> None:
    archive.settings(top=f'[storage]\nvariants = "{tmp_path / "other"}"')
    archive.frame("a.jpg")
    archive.frame("z.jpg", color=3)
    archive.run()
    key = "camera-1/timelapse-9"
    archive.frames(key).parent.mkdir(parents=True)
    for path in (archive.path("a.jpg"), archive.path("z.jpg")):
        archive.frames(key).mkdir(exist_ok=True)
        path.rename(archive.path(path.name, key))
    assert repaired(archive, accept_shrink=True).moved.height == 4
    assert is_valid(archive)


def test_a_whole_camera_folder_that_was_renamed_is_adopted_where_it_is(done: Archive) -> None:
    (done.root / "cameras/camera-1").rename(done.root / "cameras/camera-9")
    came_to = repaired(done, accept_shrink=True)
    assert came_to.adopted["timelapse"].unique().to_list() == ["camera-9/timelapse-1"]
    assert came_to.dropped.height == 4
    assert counts(verified(done)) == {"valid": 2}
