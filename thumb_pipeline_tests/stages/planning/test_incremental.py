"""What a second run does, one rule at a time."""

import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from thumb_pipeline.domain.findings import OrphanKind
from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline.stages.removal.planned import RemovalWish
from thumb_pipeline.stages.removal.sweep import plan_sweep
from thumb_pipeline.stages.verification.verify import verify
from thumb_pipeline.storage.publishing import temporary_name
from thumb_pipeline_tests.stages.archives import KEY, Archive, states, touch

pytestmark = pytest.mark.quick


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        picture.load()
        return picture.size


def write_foreign(path: Path, box: tuple[int, int] = (32, 24)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", box, (9, 9, 9)).save(path, "JPEG")


def test_every_source_gets_every_variant_in_its_size(done: Archive) -> None:
    for name in ("a.jpg", "b.jpg"):
        assert size(done.variant(name, "small")) == (32, 24)
        assert size(done.variant(name, "thumbnail")) == (16, 12)
    assert len(done.variant_files()) == 4


def test_the_largest_files_come_first_so_that_a_run_does_not_end_on_one_of_them(archive: Archive) -> None:
    widths = (64, 600, 1024, 300)
    sources = [archive.frame(f"{width}.jpg", size=(width, 400)) for width in widths]
    assert archive.run().counts == {"rendered": 8}
    by_size = sorted(sources, key=lambda path: path.stat().st_size, reverse=True)
    by_time = sorted(sources, key=lambda path: archive.variant(path.name).stat().st_mtime_ns)
    assert by_time == by_size


def test_an_upright_picture_stays_upright(archive: Archive) -> None:
    archive.frame("a.jpg", size=(48, 96))
    archive.run()
    assert size(archive.variant("a.jpg", "small")) == (12, 24)


def test_with_nothing_changed_nothing_is_done_and_no_picture_is_opened(
    done: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/nonexistent")  # every picture is opened in a process of its own
    assert done.run().counts == {"unchanged": 4}


def test_sources_are_never_written(done: Archive) -> None:
    done.other("bad.jpg", b"no picture")
    before = states(done.frames())
    done.run(force=True)
    done.settings(small='format = "webp"')
    done.run()
    assert states(done.frames()) == before


def test_a_new_source_is_the_only_one_rendered(done: Archive) -> None:
    done.frame("c.jpg", color=3)
    found = done.run()
    assert found.by_reason == {"missing": 2}
    assert found.counts == {"rendered": 2, "unchanged": 4}


def test_a_replaced_source_renders_its_variants_again(done: Archive) -> None:
    done.frame("a.jpg", size=(60, 20), color=7)
    found = done.run()
    assert found.by_reason == {"stale_source": 2}
    assert found.counts == {"rendered": 2, "unchanged": 2}
    assert size(done.variant("a.jpg", "small")) == (32, 11)
    assert done.run().counts == {"unchanged": 4}


def test_a_source_replaced_with_its_mtime_kept_is_noticed_by_its_size(done: Archive) -> None:
    before = os.stat(done.path("a.jpg"))
    done.frame("a.jpg", size=(60, 20), color=7)
    os.utime(done.path("a.jpg"), ns=(before.st_atime_ns, before.st_mtime_ns))
    assert done.run().by_reason == {"stale_source": 2}
    assert size(done.variant("a.jpg", "small")) == (32, 11)


def test_a_source_renamed_over_another_of_the_same_size_is_noticed_by_its_mtime(done: Archive) -> None:
    other = done.frame("a.jpg", color=200)
    touch(other)
    assert done.run().counts == {"rendered": 2, "unchanged": 2}


def test_a_touched_source_with_equal_bytes_is_recorded_again_and_not_rendered(done: Archive) -> None:
    before = states(done.variant().parent)
    touch(done.path("a.jpg"))
    found = done.run()
    assert found.counts == {"unchanged": 4}
    assert states(done.variant().parent) == before
    again = done.run()
    assert again.by_reason == {}
    assert again.counts == {"unchanged": 4}


def test_a_touched_source_whose_variant_is_gone_is_rendered_only_there(done: Archive) -> None:
    touch(done.path("a.jpg"))
    done.variant("a.jpg", "thumbnail").unlink()
    found = done.run()
    assert found.by_reason == {"missing": 1, "stale_source": 1}
    assert found.counts == {"rendered": 1, "unchanged": 3}


def test_a_touched_source_with_a_broken_variant_renders_that_one(done: Archive) -> None:
    touch(done.path("a.jpg"))
    broken = done.variant("a.jpg", "small")
    broken.write_bytes(broken.read_bytes()[:200])
    found = done.run()
    assert found.counts == {"rendered": 1, "unchanged": 3}
    assert size(broken) == (32, 24)


def test_a_changed_spec_renders_only_that_variant(done: Archive) -> None:
    done.settings(small="quality = 50")
    found = done.run()
    assert found.by_reason == {"stale_spec": 2}
    assert set(found.plan.rows["variant"]) == {"small"}
    assert found.counts == {"rendered": 2, "unchanged": 2}


def test_a_changed_format_takes_the_superseded_file_once_the_successor_stands(done: Archive) -> None:
    old = done.variant("a.jpg", "small")
    done.settings(small='format = "webp"')
    found = done.run()
    assert found.by_reason == {"stale_spec": 2}
    assert not old.exists()
    assert done.variant("a.jpg", "small").name == "a.jpg_small.webp"
    assert len(done.variant_files()) == 4
    assert done.run().counts == {"unchanged": 4}


def test_a_changed_folder_takes_the_superseded_files_with_it(done: Archive) -> None:
    old = done.variant("a.jpg", "small")
    text = (done.root / "thumbs.toml").read_text().replace('"smalls"', '"pictures"')
    (done.root / "thumbs.toml").write_text(text)
    assert done.run().by_reason == {"stale_spec": 2}
    assert not old.exists()
    assert len(done.variant_files()) == 4


def test_another_programs_file_in_the_place_of_a_superseded_one_stays(done: Archive) -> None:
    old = done.variant("a.jpg", "small")
    write_foreign(old)
    done.settings(small='format = "webp"')
    done.run()
    assert old.exists()
    assert done.variant("a.jpg", "small").exists()


def test_a_superseded_file_stays_until_its_successor_can_be_made(done: Archive) -> None:
    old = done.variant("a.jpg", "small")
    done.settings(small='format = "webp"')
    blocked = done.variant("a.jpg", "small")
    blocked.mkdir()
    found = done.run()
    assert found.counts == {"rendered": 1, "unchanged": 2, "failed": 1}
    assert old.exists()
    blocked.rmdir()
    assert done.run(retry_failed=True).counts == {"rendered": 1, "unchanged": 3}
    assert not old.exists()


def test_a_kill_between_successor_and_superseded_leaves_nothing_behind(done: Archive) -> None:
    old = done.variant("a.jpg", "small")
    kept, recorded = old.read_bytes(), done.root / "recorded"
    shutil.copytree(done.root / ".thumb_pipeline", recorded)
    done.settings(small='format = "webp"')
    done.run()
    old.write_bytes(kept)  # as if the successor had been published and nothing after it had happened
    shutil.rmtree(done.root / ".thumb_pipeline")
    shutil.move(recorded, done.root / ".thumb_pipeline")
    found = done.run()
    assert found.failed == 0
    assert not old.exists()
    assert len(done.variant_files()) == 4


def test_variants_that_swap_their_folders_keep_all_files_that_are_wanted(done: Archive) -> None:
    text = (done.root / "thumbs.toml").read_text()
    text = text.replace('"smalls"', '"x"').replace('"thumbnails"', '"smalls"').replace('"x"', '"thumbnails"')
    text = text.replace('"small"', '"x"').replace('"thumb"', '"small"').replace('"x"', '"thumb"')
    (done.root / "thumbs.toml").write_text(text)
    done.run()
    for name in ("a.jpg", "b.jpg"):
        assert size(done.variant(name, "small")) == (32, 24)
        assert size(done.variant(name, "thumbnail")) == (16, 12)
    assert done.run().counts == {"unchanged": 4}


def test_a_touched_variant_is_examined_and_adopted(done: Archive) -> None:
    touch(done.variant())
    before = states(done.variant().parent)
    assert done.run().counts == {"adopted": 1, "unchanged": 3}
    assert states(done.variant().parent) == before
    assert done.run().counts == {"unchanged": 4}


@pytest.mark.parametrize(
    ("n_bytes", "reason"), [(0, "corrupt"), (100, "corrupt"), (-1, "corrupt")], ids=["emptied", "header", "last byte"]
)
def test_a_truncated_variant_is_rendered_again(done: Archive, n_bytes: int, reason: str) -> None:
    data = done.variant().read_bytes()
    done.variant().write_bytes(data[:n_bytes])
    found = done.run()
    assert found.by_reason == {reason: 1}
    assert found.counts == {"rendered": 1, "unchanged": 3}
    assert size(done.variant()) == (32, 24)


def test_a_variant_with_one_flipped_byte_is_rendered_again(done: Archive) -> None:
    data = bytearray(done.variant().read_bytes())
    data[-5] ^= 1
    done.variant().write_bytes(data)
    assert done.run().by_reason == {"corrupt": 1}


def test_a_deleted_variant_is_rendered_again(done: Archive) -> None:
    done.variant().unlink()
    found = done.run()
    assert found.by_reason == {"missing": 1}
    assert found.counts == {"rendered": 1, "unchanged": 3}


def test_a_deleted_variant_folder_is_rendered_again(done: Archive) -> None:
    shutil.rmtree(done.variant().parent)
    assert done.run().counts == {"rendered": 2, "unchanged": 2}


def test_another_sources_variant_in_the_place_of_a_variant_is_rendered_over(done: Archive) -> None:
    shutil.copyfile(done.variant("b.jpg"), done.variant("a.jpg"))
    found = done.run()
    assert found.by_reason == {"stale_source": 1}


def test_another_programs_variant_is_rendered_over(done: Archive) -> None:
    write_foreign(done.variant())
    found = done.run()
    assert found.by_reason == {"stale_spec": 1}
    assert found.counts == {"rendered": 1, "unchanged": 3}


def test_another_programs_variant_is_adopted_on_trust_and_stays_so(done: Archive) -> None:
    write_foreign(done.variant())
    theirs = done.variant().read_bytes()
    assert done.run(trust_existing=True).counts == {"adopted": 1, "unchanged": 3}
    assert done.run().counts == {"unchanged": 4}
    assert done.variant().read_bytes() == theirs


def test_another_programs_variant_that_does_not_decode_is_not_trusted(done: Archive) -> None:
    Image.effect_noise((32, 24), 90).save(done.variant(), "JPEG")
    data = done.variant().read_bytes()
    done.variant().write_bytes(data[: len(data) // 2])
    found = done.run(trust_existing=True)
    assert found.by_reason == {"corrupt": 1}


def test_another_programs_variant_that_is_too_large_is_not_trusted(done: Archive) -> None:
    write_foreign(done.variant(), (33, 24))
    assert done.run(trust_existing=True).by_reason == {"stale_spec": 1}


def test_after_losing_the_state_folder_everything_right_is_adopted(done: Archive) -> None:
    shutil.rmtree(done.root / ".thumb_pipeline")
    before = states(done.root / "cameras")
    assert done.run().counts == {"adopted": 4}
    assert states(done.root / "cameras") == before
    assert done.run().counts == {"unchanged": 4}


def test_after_losing_the_state_folder_what_is_not_right_is_rendered(done: Archive) -> None:
    shutil.rmtree(done.root / ".thumb_pipeline")
    done.variant("a.jpg", "small").write_bytes(b"")
    done.variant("a.jpg", "thumbnail").unlink()
    done.frame("b.jpg", size=(60, 20))
    found = done.run()
    assert found.by_reason == {"corrupt": 1, "missing": 1, "stale_source": 2}


def test_after_losing_the_state_folder_a_touched_source_is_not_rendered(done: Archive) -> None:
    shutil.rmtree(done.root / ".thumb_pipeline")
    touch(done.path("a.jpg"))
    assert done.run().counts == {"adopted": 2, "unchanged": 2}


def test_forcing_renders_everything_again(done: Archive) -> None:
    done.other("bad.jpg", b"no picture")
    assert done.run().counts == {"unchanged": 4, "failed": 1}
    found = done.run(force=True)
    assert found.by_reason == {"forced": 6}
    assert found.counts == {"rendered": 4, "failed": 1}


def test_a_selection_renders_nothing_else(done: Archive) -> None:
    found = done.run(force=True, sources=("a.jpg",), variants=("small",), timelapses=(KEY,))
    assert found.plan.rows.select("source_name", "variant").rows() == [("a.jpg", "small")]
    assert found.counts == {"rendered": 1}
    assert found.plan.n_sources == 1


@pytest.mark.parametrize("name", ["nothing.jpg", "../thumbnails/a.jpg_thumb.jpg", ".", "", "frames"])
def test_a_source_that_is_not_there_is_refused(done: Archive, name: str) -> None:
    with pytest.raises(Refused, match="name the file as it lies in frames/"):
        done.plan(sources=(name,))


def test_a_source_named_twice_counts_once(done: Archive) -> None:
    found = done.run(sources=("a.jpg", "a.jpg"), force=True)
    assert found.counts == {"rendered": 2}


@pytest.mark.parametrize(
    ("selection", "hint"),
    [
        ({"timelapses": ("camera-1/timelapse-9",)}, "did you mean camera-1/timelapse-1"),
        ({"variants": ("smal",)}, "did you mean small"),
        ({"variants": ("zzz",)}, "there are: thumbnail, small"),
    ],
)
def test_what_is_not_there_is_refused_with_a_hint(done: Archive, selection: dict[str, object], hint: str) -> None:
    with pytest.raises(Refused, match=hint):
        done.plan(**selection)


def test_leftovers_of_a_killed_writer_go_and_those_of_a_living_one_stay(done: Archive) -> None:
    folder = done.variant().parent
    library = done.library
    with library.lease() as living:
        done.killed_lease("0badf00d")
        (folder / temporary_name("0badf00d")).write_bytes(b"half")
        (folder / temporary_name(living.id)).write_bytes(b"half")
        done.run()
        left = [name for name in os.listdir(folder) if name.startswith(".tp-")]
        assert [name.split("-")[1] for name in left] == [living.id]
    done.killed_lease(living.id)
    done.run()
    assert not [name for name in os.listdir(folder) if name.startswith(".tp-")]


@pytest.mark.parametrize(
    "name", [".tp-0badf00d-1-1", ".tp-notes.txt", ".tp-", ".tp-0badf00d-1-1.jpg", ".tp-0BADF00D-1-1"]
)
def test_what_only_looks_like_an_unfinished_file_of_ours_stays_and_is_reported(done: Archive, name: str) -> None:
    stranger = done.variant().parent / name
    stranger.write_bytes(b"somebody else's")
    done.run()
    with done.library.lease() as lease:
        (part,) = verify(done.library, [KEY], lease)
    assert dict(part.orphans.files.select("variant_path", "kind").iter_rows()) == {
        f"{stranger.parent.name}/{name}": OrphanKind.FOREIGN_TEMPORARY
    }
    planned = plan_sweep(done.library, RemovalWish(force=True, use_trash=False))
    assert (planned.files.height, planned.n_foreign) == (0, 1)
    assert stranger.read_bytes() == b"somebody else's"


def test_an_unfinished_file_is_no_variant_and_no_source(archive: Archive) -> None:
    archive.frames().joinpath(".tp-0badf00d-1-1").write_bytes(b"half")
    found = archive.run()
    assert (found.plan.n_sources, found.counts) == (0, {})
    assert archive.frames().joinpath(".tp-0badf00d-1-1").exists()


def test_variants_may_lie_on_another_disk(archive: Archive, tmp_path: Path) -> None:
    archive.settings(top=f'[storage]\nvariants = "{tmp_path / "disk"}"\nstate = "{tmp_path / "state"}"')
    archive.frame("a.jpg")
    assert archive.run().counts == {"rendered": 2}
    assert archive.variant("a.jpg").is_relative_to(tmp_path / "disk")
    assert archive.files() == {f"{KEY}/frames/a.jpg"}
    assert sorted(os.listdir(archive.root)) == [".thumb_pipeline-id", "cameras", "thumbs.toml"]
    assert archive.run().counts == {"unchanged": 2}


STRANGE = [
    b"IMG_0012.JPG",
    b"IMG_0012.jpg",
    b"IMG_0012.jpeg",
    b"2023-06-13T03:11:46.jpg",
    b"50% off.jpg",
    b"a\nb.jpg",
    b"\xff\xfe.jpg",
    "é.jpg".encode(),
    "e\u0301.jpg".encode(),
    b"x" * 251 + b".jpg",
    b"x" * 250 + b"y.jpg",
    b"timelapse-1_20250422_143022.jpg",
    b"timelapse-1_day001_143022.jpg",
    b"IMG_0012.JPG_thumb.jpg",
    b"?#& 'quoted\".jpg",
    b"-rf.jpg",
]


def test_every_name_a_camera_writes_gets_variants_of_its_own(archive: Archive) -> None:
    for n, name in enumerate(STRANGE):
        archive.frame(name, size=(40 + n, 30))
    before = states(archive.frames())
    assert archive.run().counts == {"rendered": 2 * len(STRANGE)}
    assert len(archive.variant_files()) == 2 * len(STRANGE)
    assert all(archive.variant(name).exists() for name in STRANGE)
    assert archive.run().counts == {"unchanged": 2 * len(STRANGE)}
    shutil.rmtree(archive.root / ".thumb_pipeline")
    assert archive.run().counts == {"adopted": 2 * len(STRANGE)}
    assert states(archive.frames()) == before


def test_policies_say_which_variants_a_timelapse_gets(archive: Archive) -> None:
    archive.settings(more='[cameras."camera-1".policy]\nvariants = ["small"]')
    archive.frame("a.jpg")
    archive.frame("a.jpg", key="camera-2/timelapse-1")
    assert archive.run().counts == {"rendered": 3}
    assert archive.run().counts == {"unchanged": 3}
