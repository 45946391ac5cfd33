"""What a purge takes, and what it leaves alone."""

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from thumb_pipeline.domain.removals import Operation
from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline.stages.removal import trash
from thumb_pipeline_tests.stages.archives import Archive, states
from thumb_pipeline_tests.stages.removals import carried_out, in_trash, planned, purged, restored, written_down

pytestmark = pytest.mark.quick

OTHER = "camera-2/timelapse-9"


def test_a_purge_takes_every_variant_and_every_record_and_no_source(done: Archive) -> None:
    sources = states(done.frames())
    result = purged(done)
    assert (result.n_planned, result.n_removed, result.kept) == (4, 4, [])
    assert done.variant_files() == set()
    assert done.manifest().is_empty()
    assert states(done.frames()) == sources
    assert done.inventory().height == 2


def test_generate_makes_all_of_it_again_and_restore_does_not_replace_it(done: Archive) -> None:
    run_id = purged(done).run_id
    assert done.run().counts == {"rendered": 4}
    made = states(done.root / "cameras")
    back = restored(done, run_id)
    assert (back.n_restored, dict(back.kept)) == (0, {"occupied": 4})
    assert states(done.root / "cameras") == made
    assert len(in_trash(done)) == 4


def test_one_variant_of_one_timelapse_is_purged_alone(done: Archive) -> None:
    done.frame("x.jpg", key=OTHER)
    done.run()
    result = purged(done, timelapses=(OTHER,), variants=("small",))
    assert result.n_removed == 1
    assert not done.variant("x.jpg", "small", key=OTHER).exists()
    assert done.variant("x.jpg", "thumbnail", key=OTHER).exists()
    assert len(done.manifest()) == 4
    assert done.manifest(OTHER)["variant"].to_list() == ["thumbnail"]


def test_refusals_are_forgotten_with_the_variants(done: Archive) -> None:
    done.other("broken.jpg", b"\xff\xd8\xff" + bytes(100))
    done.run()
    purged(done)
    assert done.manifest().is_empty()
    assert done.run().counts == {"rendered": 4, "failed": 1}


def test_files_whose_name_tells_a_variant_go_and_foreign_ones_stay(done: Archive) -> None:
    folder = done.variant("a.jpg").parent
    (folder / "lost.jpg_small.jpg").write_bytes(b"of a source that is gone")
    (folder / "README.txt").write_bytes(b"mine")
    assert purged(done).n_removed == 5
    assert done.variant_files() == {"smalls/README.txt"}


def test_variants_with_cut_names_go_without_a_record_of_them(done: Archive) -> None:
    done.frame(b"y" * 255)
    done.run()
    for file in Path(done.library.state, "datasets", "manifest").rglob("*.parquet"):
        file.unlink()
    assert purged(done).n_removed == 6


def test_a_retired_variant_is_purged_by_its_name(done: Archive) -> None:
    done.settings(more='[variants.large]\nfolder = "larges"\ntag = "large"\nmax_width_px = 60')
    done.run()
    done.settings(more="")
    assert purged(done, variants=("large",)).n_removed == 2
    assert len(done.variant_files()) == 4


def test_the_size_of_a_purge_is_not_braked(archive: Archive) -> None:
    for index in range(30):
        archive.frame(f"{index}.jpg", color=index)
    archive.run()
    assert purged(archive).n_removed == 60


def test_a_purge_of_an_unmounted_archive_is_refused(done: Archive) -> None:
    os.rename(done.frames(), done.root / "unmounted")
    with pytest.raises(Refused, match="2 sources recorded, 0 found"):
        purged(done)
    assert len(done.variant_files()) == 4


def test_a_purge_of_an_unknown_variant_is_refused(done: Archive) -> None:
    with pytest.raises(Refused, match="did you mean small"):
        purged(done, variants=("smalll",))


def test_a_variant_that_was_made_again_since_the_report_stays_with_its_record(done: Archive) -> None:
    run_id = written_down(done, Operation.PURGE)
    done.run(force=True, variants=("small",))
    result = carried_out(done, run_id)
    assert (result.n_removed, result.kept_by_reason()) == (2, {"changed": 2})
    assert done.manifest()["variant"].to_list() == ["small", "small"]
    assert done.run().counts == {"rendered": 2, "unchanged": 2}


def test_a_folder_that_is_the_frames_folder_by_a_bind_mount_or_a_rename_is_not_touched(done: Archive) -> None:
    run_id = written_down(done, Operation.PURGE)
    frames, smalls = done.frames(), done.variant("a.jpg").parent
    shutil.rmtree(smalls)
    os.rename(frames, smalls)
    frames.symlink_to("smalls")
    before = states(smalls)
    result = carried_out(done, run_id)
    assert result.kept_by_reason() == {"frames": 2}
    assert states(smalls) == before


# Restore


def test_a_restore_brings_files_and_records_back_as_they_were(done: Archive) -> None:
    before, records = states(done.root / "cameras"), done.manifest()
    result = purged(done)
    back = restored(done, result.run_id)
    assert (back.n_restored, back.n_bytes, back.kept.total()) == (4, result.n_bytes, 0)
    assert states(done.root / "cameras") == before
    assert done.manifest().equals(records)
    assert done.run().counts == {"unchanged": 4}
    assert trash.list_entries(done.library) == []
    assert not os.path.lexists(done.library.trash)


def test_a_file_in_the_way_stays_and_a_newer_record_too(done: Archive) -> None:
    run_id = purged(done).run_id
    done.run(variants=("small",))
    newer = done.manifest()
    back = restored(done, run_id)
    assert (back.n_restored, dict(back.kept)) == (2, {"occupied": 2})
    assert done.manifest().filter(variant="small").equals(newer)
    assert done.manifest().height == 4
    assert [entry.n_files for entry in trash.list_entries(done.library)] == [2]


def test_a_link_in_the_way_is_neither_followed_nor_replaced(done: Archive) -> None:
    run_id, sources = purged(done).run_id, states(done.frames())
    done.variant("a.jpg").symlink_to(done.path("a.jpg"))
    assert restored(done, run_id).kept.total() == 1
    assert done.variant("a.jpg").is_symlink()
    assert states(done.frames()) == sources


def test_a_variant_folder_that_became_a_link_gets_nothing_back(done: Archive, tmp_path: Path) -> None:
    run_id = purged(done).run_id
    folder = done.variant("a.jpg").parent
    folder.rmdir()
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    back = restored(done, run_id)
    assert (back.n_restored, dict(back.kept)) == (2, {"outside": 2})
    assert os.listdir(tmp_path / "elsewhere") == []


def test_a_folder_that_was_removed_meanwhile_is_made_again(done: Archive) -> None:
    run_id = purged(done).run_id
    for variant in ("small", "thumbnail"):
        done.variant("a.jpg", variant).parent.rmdir()
    assert restored(done, run_id).n_restored == 4


@pytest.mark.parametrize("name", ["nothing", "../../cameras", "..", "", "."])
def test_what_is_no_run_is_not_restored(done: Archive, name: str) -> None:
    purged(done)
    with pytest.raises(Refused, match="no run in the trash"):
        restored(done, name)


# Trash


def test_the_trash_can_be_read_by_a_person_when_the_state_is_lost(done: Archive) -> None:
    run_id = purged(done).run_id
    shutil.rmtree(done.library.journals)
    [entry] = trash.list_entries(done.library)
    assert (entry.run_id, entry.operation, entry.n_files, entry.expires_at) == (run_id, trash.UNKNOWN, 4, None)
    shutil.copytree(Path(done.library.trash, run_id, "cameras"), done.root / "cameras", dirs_exist_ok=True)
    assert done.run().counts == {"adopted": 4}


def test_emptying_frees_the_named_run_and_no_other(done: Archive) -> None:
    first = purged(done, variants=("small",)).run_id
    second = purged(done, variants=("thumbnail",)).run_id
    [gone] = trash.empty(done.library, [first])
    assert (gone.run_id, gone.n_files) == (first, 2)
    assert [entry.run_id for entry in trash.list_entries(done.library)] == [second]
    assert os.listdir(done.library.trash) == [second]


def test_an_entry_goes_when_it_is_older_than_the_settings_say(done: Archive) -> None:
    purged(done)
    now = datetime.now(UTC)
    assert trash.empty_expired(done.library, now + timedelta(days=6, hours=23)) == []
    assert len(trash.empty_expired(done.library, now + timedelta(days=7, hours=1))) == 1
    assert trash.list_entries(done.library) == []


def test_expired_entries_go_at_the_next_removal(done: Archive) -> None:
    purged(done, variants=("small",))
    done.settings(more="[trash]\nkeep_days = 0.0")
    planned(done, Operation.PURGE)
    assert len(in_trash(done)) == 2
    purged(done, variants=("thumbnail",), expected_files=2)  # a trash that keeps nothing is none
    assert in_trash(done) == set()


def test_links_in_the_trash_are_not_followed_when_it_is_emptied(done: Archive) -> None:
    run_id, sources = purged(done).run_id, states(done.frames())
    os.symlink(done.frames(), os.path.join(done.library.trash, run_id, "cameras", "away"))
    trash.empty(done.library, [])
    assert states(done.frames()) == sources


def test_a_restore_without_its_disk_is_refused_and_works_when_that_is_back(done: Archive, tmp_path: Path) -> None:
    before = states(done.root / "cameras")
    run_id = purged(done).run_id
    os.rename(done.library.trash, tmp_path / "unmounted")
    with pytest.raises(Refused, match="not there, and 4 files of it are not back: check that its disk is mounted"):
        restored(done, run_id)
    os.rename(tmp_path / "unmounted", done.library.trash)
    assert restored(done, run_id).n_restored == 4
    assert states(done.root / "cameras") == before


def test_a_file_that_was_taken_out_of_the_trash_is_counted_by_a_restore(done: Archive) -> None:
    run_id = purged(done).run_id
    next(path for path in Path(done.library.trash).rglob("*") if path.is_file()).unlink()
    back = restored(done, run_id)
    assert (back.n_restored, dict(back.kept)) == (3, {"gone": 1})


def test_a_file_that_was_gone_before_the_purge_is_not_missed_by_the_restore(done: Archive) -> None:
    run_id = written_down(done, Operation.PURGE)
    done.variant("a.jpg").unlink()
    assert carried_out(done, run_id).kept_by_reason() == {"gone": 1}
    back = restored(done, run_id)
    assert (back.n_restored, dict(back.kept)) == (3, {})


def test_journals_outlive_a_disk_of_variants_that_is_not_there(done: Archive, tmp_path: Path) -> None:
    elsewhere = tmp_path / "variants"
    done.settings(top=f'[storage]\nvariants = "{elsewhere}"')
    done.run(accept_shrink=True)
    run_id = purged(done).run_id
    os.rename(elsewhere, tmp_path / "unmounted")
    elsewhere.mkdir()
    assert trash.empty_expired(done.library, datetime.now(UTC) + timedelta(days=30)) == []
    with pytest.raises(Refused, match="check that the disk of storage"):
        trash.empty(done.library, [])
    elsewhere.rmdir()
    os.rename(tmp_path / "unmounted", elsewhere)
    assert restored(done, run_id).n_restored == 4
