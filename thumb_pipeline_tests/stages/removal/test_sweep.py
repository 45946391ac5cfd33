"""What a sweep takes, what stops it, and what it leaves alone."""

import os
import shutil
from pathlib import Path

import polars as pl
import pytest

from thumb_pipeline.domain.findings import VariantState
from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline.stages.removal import carry_out, journal, trash
from thumb_pipeline.storage.folders import ArchiveUnavailable
from thumb_pipeline_tests.stages.archives import KEY, Archive, states
from thumb_pipeline_tests.stages.removals import carried_out, in_trash, planned, restored, swept, written_down

pytestmark = pytest.mark.quick

OTHER = "camera-2/timelapse-9"


@pytest.fixture
def orphaned(done: Archive) -> Archive:
    """A library of two sources of which one was deleted; its two variants are orphans."""
    done.path("a.jpg").unlink()
    return done


def fill(archive: Archive, n: int, key: str = KEY) -> None:
    for index in range(n):
        archive.frame(f"{index:03d}.jpg", key=key, color=index)


def test_a_plan_names_the_orphans_and_changes_nothing(orphaned: Archive) -> None:
    before = states(orphaned.root)
    plan = planned(orphaned)
    assert plan.files["variant_path"].to_list() == ["smalls/a.jpg_small.jpg", "thumbnails/a.jpg_thumb.jpg"]
    assert plan.document() == {
        "run_id": None,
        "planned": 2,
        "removed": 0,
        "kept": 0,
        "n_bytes": sum(orphaned.variant("a.jpg", name).stat().st_size for name in ("small", "thumbnail")),
        "trash": None,
    }
    assert states(orphaned.root) == before


def test_a_sweep_moves_orphans_and_their_records_and_keeps_everything_else(orphaned: Archive) -> None:
    sources, contents = states(orphaned.frames()), orphaned.variant("a.jpg").read_bytes()
    result = swept(orphaned)
    assert (result.n_planned, result.n_removed, result.kept) == (2, 2, [])
    assert in_trash(orphaned) == {f"cameras/{KEY}/{name}" for name in planned_names("a.jpg")}
    moved = Path(orphaned.library.trash, result.run_id, "cameras", KEY, "smalls", "a.jpg_small.jpg")
    assert moved.read_bytes() == contents
    assert orphaned.variant_files() == planned_names("b.jpg")
    assert orphaned.manifest()["source_name"].to_list() == ["b.jpg", "b.jpg"]
    assert orphaned.inventory()["source_name"].to_list() == ["b.jpg"]
    assert states(orphaned.frames()) == sources


def planned_names(source: str) -> set[str]:
    return {f"smalls/{source}_small.jpg", f"thumbnails/{source}_thumb.jpg"}


def test_after_a_sweep_the_kept_verdicts_speak_of_what_is_there(orphaned: Archive) -> None:
    swept(orphaned)
    counts = orphaned.library.verdicts.read(["library/all"]).select(VariantState.ORPHAN, VariantState.VALID).sum()
    assert counts.row(0) == (0, 2)
    assert orphaned.library.findings.read([KEY]).is_empty()


def test_a_second_sweep_finds_nothing_and_leaves_no_trace(orphaned: Archive) -> None:
    first = swept(orphaned)
    again = swept(orphaned)
    assert (again.n_planned, again.n_removed, again.trash) == (0, 0, None)
    assert [entry.run_id for entry in trash.list_entries(orphaned.library)] == [first.run_id]


def test_a_chosen_timelapse_is_swept_alone(orphaned: Archive) -> None:
    orphaned.frame("x.jpg", key=OTHER)
    orphaned.frame("y.jpg", key=OTHER)
    orphaned.run()
    orphaned.path("x.jpg", OTHER).unlink()
    assert swept(orphaned, timelapses=(OTHER,)).n_removed == 2
    assert orphaned.variant("a.jpg").exists()


def test_what_lies_in_other_folders_is_never_swept(orphaned: Archive) -> None:
    for folder in ("overlays", "videos", "mine"):
        path = orphaned.frames().parent / folder / "z.jpg_small.jpg"
        path.parent.mkdir()
        path.write_bytes(b"x")
    swept(orphaned)
    assert all((orphaned.frames().parent / folder / "z.jpg_small.jpg").exists() for folder in ("overlays", "videos"))
    assert (orphaned.frames().parent / "mine" / "z.jpg_small.jpg").exists()


def test_records_without_a_file_and_refusals_of_sources_that_are_gone_go_too(orphaned: Archive) -> None:
    orphaned.other("broken.jpg", b"\xff\xd8\xff" + bytes(100))
    orphaned.run()
    orphaned.path("broken.jpg").unlink()
    orphaned.variant("a.jpg", "small").unlink()
    assert "broken.jpg" in orphaned.manifest()["source_name"]
    assert swept(orphaned).n_removed == 1
    assert set(orphaned.manifest()["source_name"]) == {"b.jpg"}


def test_folders_of_a_retired_variant_and_left_over_temporaries_are_swept(done: Archive) -> None:
    done.settings(more='[policy]\nvariants = ["thumbnail"]')
    done.killed_lease("0badcafe")
    done.variant("a.jpg").with_name(".tp-0badcafe-1-1").write_bytes(b"half")
    assert swept(done, by_policy=True).n_removed == 3
    assert done.variant_files() == {"thumbnails/a.jpg_thumb.jpg", "thumbnails/b.jpg_thumb.jpg"}
    assert set(done.manifest()["variant"]) == {"thumbnail"}


@pytest.mark.parametrize(
    "name",
    [
        *("a..jpg..", "x..\\..\\frames", "a\nb\x1b[31m.jpg", "%2e%2e%2f.jpg", "e\u0301.jpg"),
        *(b"\xff\xfe.jpg", b"x" * 255, b"~" * 40 + b".jpg"),
    ],
    ids=repr,
)
def test_names_of_any_bytes_are_swept_and_come_back(done: Archive, name: str | bytes) -> None:
    raw = name if isinstance(name, bytes) else name.encode()
    done.frame(raw, color=7)
    assert done.run().rendered == 2
    before = done.variant_files()
    done.path(raw).unlink()
    result = swept(done)
    assert (result.n_removed, result.kept) == (2, [])
    assert len(done.variant_files()) == 4
    assert restored(done, result.run_id).n_restored == 2
    assert done.variant_files() == before


def test_what_a_policy_no_longer_asks_for_is_swept_and_the_newest_capture_keeps_its_small(archive: Archive) -> None:
    for hour in (1, 2, 3):
        archive.frame(f"timelapse-1_20250422_0{hour}0000.jpg", color=hour)
    archive.run()
    archive.settings(more='[policy]\nsmall_generation_mode = "latest_only"')
    assert swept(archive).n_removed == 0
    assert swept(archive, by_policy=True).n_removed == 2
    assert archive.variant("timelapse-1_20250422_030000.jpg").exists()
    assert len([name for name in archive.variant_files() if name.startswith("thumbnails/")]) == 3


def test_a_refusal_of_a_source_that_is_there_is_not_forgotten(orphaned: Archive) -> None:
    orphaned.settings(more='[policy]\nsmall_generation_mode = "latest_only"')
    orphaned.other("z.jpg", b"\xff\xd8\xff" + bytes(100))
    orphaned.run()
    refused = orphaned.manifest().filter(state="failed")
    assert not refused.is_empty()
    swept(orphaned)
    assert orphaned.manifest().filter(state="failed").equals(refused)
    assert orphaned.run().rendered == 0


# Brakes


def test_more_than_half_of_a_timelapse_is_refused_with_the_numbers_and_nothing_changes(archive: Archive) -> None:
    archive.settings(top="", more="[brakes]\nmax_shrink_ratio = 1.0\nmax_sweep_ratio_library = 1.0")
    fill(archive, 20)
    archive.run()
    for index in range(11):
        archive.path(f"{index:03d}.jpg").unlink()
    before = states(archive.root)
    with pytest.raises(Refused, match=rf"{KEY}: 22 of 40 variant files, 55%; at most 50%\n.*--force"):
        swept(archive)
    assert {k: v for k, v in states(archive.root).items() if b"/trash/.lock" not in k} == before
    assert archive.inventory().height == 20
    assert swept(archive, force=True).n_removed == 22


def test_exactly_half_of_a_timelapse_is_taken(archive: Archive) -> None:
    archive.settings(more="[brakes]\nmax_shrink_ratio = 1.0\nmax_sweep_ratio_library = 1.0")
    fill(archive, 20)
    archive.run()
    for index in range(10):
        archive.path(f"{index:03d}.jpg").unlink()
    assert swept(archive).n_removed == 20


def test_fewer_than_twenty_are_no_matter_for_the_ratios(archive: Archive) -> None:
    archive.settings(more="[brakes]\nmax_shrink_ratio = 1.0")
    fill(archive, 10)
    archive.run()
    for index in range(9):
        archive.path(f"{index:03d}.jpg").unlink()
    assert swept(archive).n_removed == 18


def test_the_library_ratio_counts_what_other_timelapses_hold_also_when_one_is_chosen(archive: Archive) -> None:
    archive.settings(more="[brakes]\nmax_shrink_ratio = 1.0")
    fill(archive, 40)
    fill(archive, 2, OTHER)
    archive.run()
    for index in range(10):
        archive.path(f"{index:03d}.jpg").unlink()
    assert "the library: 20 of 84 variant files" in planned(archive, timelapses=(KEY,)).objections[0]


def test_a_timelapse_that_lost_many_sources_is_refused_and_never_becomes_the_baseline(archive: Archive) -> None:
    fill(archive, 40)
    archive.run()
    for index in range(6):
        archive.path(f"{index:03d}.jpg").unlink()
    for _ in range(2):
        with pytest.raises(Refused, match=r"40 sources recorded, 34 found\n.*repeat with --force"):
            swept(archive)
    assert archive.inventory().height == 40
    assert swept(archive, force=True).n_removed == 12
    assert archive.inventory().height == 34
    assert planned(archive).objections == []


def test_an_unmounted_archive_is_refused(done: Archive) -> None:
    shutil.rmtree(done.frames())
    with pytest.raises(Refused, match="2 sources recorded, 0 found"):
        swept(done)
    assert len(done.variant_files()) == 4


def test_a_folder_that_cannot_be_listed_is_refused_also_with_force(orphaned: Archive) -> None:
    os.rename(orphaned.frames(), orphaned.root / "moved")
    orphaned.frames().write_bytes(b"no folder")
    with pytest.raises(ArchiveUnavailable, match="check the disk"):
        swept(orphaned, force=True)
    assert len(orphaned.variant_files()) == 5  # the four, and what stands in place of the folder


def test_an_unknown_timelapse_is_refused_with_those_like_it(orphaned: Archive) -> None:
    with pytest.raises(Refused, match="did you mean camera-1/timelapse-1"):
        swept(orphaned, timelapses=("camera-1/timelapse-11",))


def test_a_library_whose_settings_vanish_between_plan_and_deletion_keeps_everything(orphaned: Archive) -> None:
    run_id, library = written_down(orphaned), orphaned.library
    with library.lease() as lease, journal.lock_removals(library):
        (orphaned.root / "thumbs.toml").unlink()
        result = carry_out.carry_out(library, run_id, lease)
    assert (result.n_removed, result.kept_by_reason()) == (0, {"unavailable": 2})


# Between the report and the deletion


def test_a_source_that_is_back_keeps_its_variants(orphaned: Archive) -> None:
    run_id = written_down(orphaned)
    orphaned.frame("a.jpg", color=1)
    result = carried_out(orphaned, run_id)
    assert (result.n_removed, result.kept_by_reason()) == (0, {"expected": 2})
    assert orphaned.variant("a.jpg").exists()
    assert orphaned.manifest().height == 4


def test_a_file_that_changed_since_the_report_stays(orphaned: Archive) -> None:
    run_id = written_down(orphaned)
    orphaned.variant("a.jpg").write_bytes(b"another")
    result = carried_out(orphaned, run_id)
    assert (result.n_removed, result.kept_by_reason()) == (1, {"changed": 1})
    assert orphaned.variant("a.jpg").read_bytes() == b"another"
    assert orphaned.manifest().filter(pl.col("source_name") == "a.jpg")["variant"].to_list() == ["small"]


def test_a_file_that_was_swapped_for_a_link_to_a_source_stays_and_so_does_the_source(orphaned: Archive) -> None:
    sources, run_id = states(orphaned.frames()), written_down(orphaned)
    orphaned.variant("a.jpg").unlink()
    orphaned.variant("a.jpg").symlink_to(orphaned.path("b.jpg"))
    result = carried_out(orphaned, run_id)
    assert (result.n_removed, len(result.kept)) == (1, 1)
    assert orphaned.variant("a.jpg").is_symlink()
    assert states(orphaned.frames()) == sources


def test_a_variant_folder_that_was_swapped_for_a_link_to_frames_is_left_alone(orphaned: Archive) -> None:
    run_id = written_down(orphaned)
    folder = orphaned.variant("a.jpg").parent
    os.rename(folder, folder.with_name("aside"))
    folder.symlink_to(orphaned.frames())
    orphaned.other("a.jpg_small.jpg", b"a source by that name")
    sources = states(orphaned.frames())
    result = carried_out(orphaned, run_id)
    assert result.n_removed == 0
    assert result.kept_by_reason() == {"unavailable": 2}
    assert states(orphaned.frames()) == sources


def test_sources_that_went_between_the_plan_and_the_deletion_stop_it(orphaned: Archive) -> None:
    run_id = written_down(orphaned)
    os.rename(orphaned.frames(), orphaned.root / "unmounted")
    result = carried_out(orphaned, run_id)
    assert (result.n_removed, result.kept_by_reason()) == (0, {"unavailable": 2})
    assert orphaned.inventory().height == 2


def test_a_file_that_somebody_removed_first_is_counted_as_gone(orphaned: Archive) -> None:
    run_id = written_down(orphaned)
    orphaned.variant("a.jpg").unlink()
    assert carried_out(orphaned, run_id).kept_by_reason() == {"gone": 1}


def test_variants_behind_a_link_of_their_camera_are_kept(orphaned: Archive, tmp_path: Path) -> None:
    camera = orphaned.frames().parents[1]
    os.rename(camera, tmp_path / "elsewhere")
    camera.symlink_to(tmp_path / "elsewhere")
    result = swept(orphaned)
    assert (result.n_removed, result.kept_by_reason()) == (0, {"outside": 2})
    assert camera.is_symlink()
    assert orphaned.variant("a.jpg").exists()


def test_a_camera_that_links_to_another_one_loses_nothing_twice(orphaned: Archive) -> None:
    (orphaned.root / "cameras" / "camera-2").symlink_to("camera-1")
    (orphaned.root / "cameras" / "camera-1" / "timelapse-5").symlink_to("..")
    result = swept(orphaned)
    assert result.n_removed == 2
    assert set(result.kept_by_reason()) <= {"outside", "gone"}
    assert orphaned.variant_files() == planned_names("b.jpg")


def test_without_a_trash_files_are_deleted_and_restore_says_so(orphaned: Archive) -> None:
    result = swept(orphaned, use_trash=False)
    assert (result.n_removed, result.trash) == (2, None)
    assert not os.path.lexists(orphaned.library.trash)
    with pytest.raises(Refused, match="--no-trash"):
        restored(orphaned, result.run_id)


def test_variants_under_another_root_go_to_a_trash_there(archive: Archive, tmp_path: Path) -> None:
    archive.settings(top=f'[storage]\nvariants = "{tmp_path / "fast"}"')
    archive.frame("a.jpg")
    archive.frame("b.jpg", color=3)
    archive.run()
    archive.path("a.jpg").unlink()
    result = swept(archive)
    assert result.trash == f"{tmp_path}/fast/.thumb_pipeline-trash/{result.run_id}"
    assert result.n_removed == 2


def test_a_trash_that_is_a_link_is_refused(orphaned: Archive, tmp_path: Path) -> None:
    os.symlink(tmp_path, orphaned.library.trash)
    with pytest.raises(Refused, match="is a link; remove it"):
        swept(orphaned)
    assert orphaned.variant("a.jpg").exists()
