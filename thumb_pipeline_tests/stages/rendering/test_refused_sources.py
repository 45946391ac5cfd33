"""Sources that cannot be rendered: told once, and the others go on."""

import os
import shutil

import pytest
from PIL import Image

from thumb_pipeline.stages.inventory.selection import Selection
from thumb_pipeline.stages.planning.plan import make_plan
from thumb_pipeline.stages.rendering.accept_plan import record
from thumb_pipeline.stages.rendering.chunk import render_chunk
from thumb_pipeline.storage.publishing import CannotWrite
from thumb_pipeline_tests.stages.archives import KEY, Archive

pytestmark = pytest.mark.quick


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("notes.txt", b"hello", "not_an_image"),
        ("empty.jpg", b"", "not_an_image"),
        ("clip.mp4", b"\0\0\0\x18ftypmp42" + bytes(100), None),
    ],
)
def test_a_foreign_file_fails_with_a_reason_and_is_not_opened_again(
    done: Archive, monkeypatch: pytest.MonkeyPatch, name: str, data: bytes, reason: str | None
) -> None:
    done.other(name, data)
    found = done.run()
    assert found.counts == {"unchanged": 4, "failed": 1}
    assert reason in (None, found.reasons[f"{KEY}/{name}"])
    monkeypatch.setattr("sys.executable", "/nonexistent")
    assert done.run().counts == {"unchanged": 4, "failed": 1}


def test_a_refused_source_that_changed_is_tried_again(done: Archive) -> None:
    done.other("c.jpg", b"no picture")
    done.run()
    done.frame("c.jpg")
    found = done.run()
    assert found.counts == {"rendered": 2, "unchanged": 4}


def test_a_refused_source_is_tried_again_when_asked(done: Archive) -> None:
    done.other("c.jpg", b"no picture")
    done.run()
    found = done.run(retry_failed=True)
    assert found.by_reason == {"retry": 2}
    assert found.counts == {"unchanged": 4, "failed": 1}


def test_a_refused_source_counts_once_when_a_variant_is_added(done: Archive) -> None:
    done.other("c.jpg", b"no picture")
    done.run()
    done.settings(more='[variants.tiny]\nfolder = "tiny"\ntag = "tiny"\nmax_width_px = 4')
    assert done.run().counts == {"rendered": 2, "unchanged": 4, "failed": 1}


def test_a_refused_source_that_vanished_is_forgotten(done: Archive) -> None:
    done.other("c.jpg", b"no picture")
    done.run()
    done.path("c.jpg").unlink()
    assert done.run().counts == {"unchanged": 4}
    assert set(done.manifest()["state"]) == {"made"}


def test_a_truncated_source_is_refused_in_all_variants(done: Archive) -> None:
    whole = done.frame("c.jpg", size=(400, 300)).read_bytes()
    done.other("c.jpg", whole[: len(whole) // 2])
    found = done.run()
    assert found.counts == {"unchanged": 4, "failed": 1}
    assert found.reasons == {f"{KEY}/c.jpg": "truncated"}
    assert not done.variant("c.jpg").exists()


def test_a_folder_in_the_place_of_a_variant_fails_that_variant_alone(archive: Archive) -> None:
    archive.frame("a.jpg")
    archive.variant("a.jpg", "small").mkdir(parents=True)
    found = archive.run()
    assert found.counts == {"rendered": 1, "failed": 1}
    assert found.reasons == {f"{KEY}/a.jpg": "variant_impossible"}


def planned_then(archive: Archive, change: object) -> dict[str, int]:
    """What rendering does when `change` happens between plan and render."""
    library = archive.library
    with library.lease() as lease:
        plan = make_plan(library, Selection(), lease)
        record(library, plan)
        change()  # type: ignore[operator]
        result = render_chunk(library, plan.rows, lease, run_id="r")
    counts = result.by_timelapse[KEY]
    return {"rendered": counts.rendered, "failed": counts.failed, "pending": counts.pending}


def test_a_source_that_changed_since_the_plan_is_pending_and_not_recorded(archive: Archive) -> None:
    archive.frame("a.jpg")
    found = planned_then(archive, lambda: archive.frame("a.jpg", size=(60, 20)))
    assert found == {"rendered": 0, "failed": 0, "pending": 1}
    assert archive.manifest().height == 0
    assert archive.variant_files() == set()
    assert archive.run().counts == {"rendered": 2}


def test_a_source_that_vanished_since_the_plan_is_pending_and_not_recorded(archive: Archive) -> None:
    archive.frame("a.jpg")
    archive.frame("b.jpg")
    found = planned_then(archive, archive.path("a.jpg").unlink)
    assert found == {"rendered": 2, "failed": 0, "pending": 1}
    assert set(archive.manifest()["source_name"]) == {"b.jpg"}


def test_a_source_that_takes_too_long_is_refused_and_the_others_go_on(archive: Archive) -> None:
    archive.frame("a.jpg")
    Image.new("RGB", (12_000, 12_000)).save(archive.path("huge.png"), compress_level=1)  # seconds of work
    archive.settings(rendering="deadline_s = 0.3")
    found = archive.run()
    assert found.counts == {"rendered": 2, "failed": 1}
    assert found.reasons == {f"{KEY}/huge.png": "timed_out"}
    assert archive.run().counts == {"unchanged": 2, "failed": 1}


def test_variant_files_that_kill_the_worker_are_made_again_and_the_others_adopted(archive: Archive) -> None:
    for n in range(70):
        archive.frame(f"{n:02d}.jpg")
    archive.run(variants=("thumbnail",))
    archive.settings(rendering="max_memory_mb = 512")
    shutil.rmtree(archive.root / ".thumb_pipeline")
    for name in ("03.jpg", "66.jpg"):
        os.truncate(archive.variant(name, "thumbnail"), 2_000_000_000)  # more than a worker may hold
    found = archive.run(variants=("thumbnail",))
    assert found.by_reason == {"corrupt": 2}
    assert found.counts == {"rendered": 2, "adopted": 68}


def test_a_disk_that_takes_no_files_stops_the_run_and_repeating_it_finishes(archive: Archive) -> None:
    archive.frame("a.jpg")
    folder = archive.variant("a.jpg").parent
    with pytest.raises(CannotWrite, match="run the same command again"):
        planned_then(archive, lambda: folder.write_bytes(b""))  # no folder can be made here
    folder.unlink()
    found = archive.run()
    assert (found.rendered + found.adopted + found.unchanged, found.failed) == (2, 0)
