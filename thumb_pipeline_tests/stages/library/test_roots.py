"""Folders outside of a library that it writes into: whose they are, and that nothing else is ever taken for ours."""

import hashlib
import json
import os
import shutil
import uuid
from pathlib import Path

import pytest

from thumb_pipeline.stages.library import roots, settings_in_force
from thumb_pipeline.stages.library.adopt_folders import adopt_folders
from thumb_pipeline.stages.library.open import open_library
from thumb_pipeline.stages.library.refused import Refused, SettingsUnusable
from thumb_pipeline.storage import publishing
from thumb_pipeline_tests.stages.archives import Archive
from thumb_pipeline_tests.stages.removals import purged, swept

pytestmark = pytest.mark.quick


def outside(archive: Archive, **folders: Path) -> Archive:
    """The library with its state, its variants or both elsewhere."""
    lines = [f'{name} = "{folder}"' for name, folder in folders.items()]
    archive.settings(top="\n".join(["[storage]", *lines]))
    return archive


def library(root: Path, **folders: Path) -> Archive:
    made = outside(Archive(root), **folders)
    made.frame("a.jpg", color=len(str(root)))
    return made


def everything(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Somebody's home, with files that are called as ours could be."""
    folder = tmp_path / "home"
    for name in (
        "plans/house-2020/kitchen.txt",
        f"plans/{uuid.uuid4()}/garden.txt",
        "leases/rent.lease",
        "leases/0badf00d.lease",
        "trash/my-photos/a.jpg",
        f"trash/{uuid.uuid4()}/files.txt",
        "watch/casio.changes.json",
        "datasets/inventory/camera-1/timelapse-1/notes.parquet",
        "dagster/history/runs/index.db",
        "cameras/camera-1/timelapse-1/thumbnails/.tp-mine",
        "diary.txt",
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"what is in {name}")
    return folder


@pytest.mark.parametrize("setting", ["state", "variants"])
def test_somebodys_folder_is_neither_state_nor_variants_and_stays_as_it_is(
    tmp_path: Path, home: Path, setting: str
) -> None:
    before = everything(home)
    archive = library(tmp_path / "library", **{setting: home})
    with pytest.raises(SettingsUnusable, match=rf"storage\.{setting} = .*home.*is not empty.*adopt --library"):
        archive.run()
    with pytest.raises(Refused, match=r"diary\.txt.*--yes"):
        adopt_folders(str(archive.root))
    assert everything(home) == before


def test_in_a_folder_that_was_adopted_all_the_same_nothing_but_our_own_form_is_touched(
    tmp_path: Path, home: Path
) -> None:
    before = everything(home)
    archive = library(tmp_path / "library", state=home)
    adopt_folders(str(archive.root), accept_others=True)
    assert archive.run().counts == {"rendered": 2}
    purged(archive)
    archive.path("a.jpg").unlink()
    swept(archive, force=True)
    left = everything(home)
    assert {name: left.get(name) for name in before} == before


def test_an_empty_folder_is_marked_at_the_first_use_and_may_have_what_systems_leave(tmp_path: Path) -> None:
    for name in ("lost+found", "@eaDir", ".DS_Store"):
        (tmp_path / "disk" / name).mkdir(parents=True)
    archive = library(tmp_path / "library", state=tmp_path / "state", variants=tmp_path / "disk")
    open_library(str(archive.root))
    assert not (tmp_path / "state").exists()
    assert archive.run().counts == {"rendered": 2}
    owners = [json.loads((tmp_path / name / roots.MARKER_NAME).read_text()) for name in ("state", "disk")]
    assert [owner["root"] for owner in owners] == [str(archive.root)] * 2
    assert {owner["library_id"] for owner in owners} == {(archive.root / roots.ID_NAME).read_text().strip()}


def test_all_that_a_library_makes_in_such_folders_is_known_by_name(tmp_path: Path) -> None:
    archive = library(tmp_path / "library", state=tmp_path / "state", variants=tmp_path / "disk")
    settings_in_force.keep(archive.library)
    archive.run()
    purged(archive)
    assert set(os.listdir(tmp_path / "state")) <= roots.STATE_NAMES | {roots.MARKER_NAME}
    assert set(os.listdir(tmp_path / "disk")) <= roots.VARIANTS_NAMES | {roots.MARKER_NAME}


@pytest.mark.parametrize("setting", ["state", "variants"])
def test_a_folder_of_another_library_is_refused(tmp_path: Path, setting: str) -> None:
    first = library(tmp_path / "one", **{setting: tmp_path / "shared"})
    first.run()
    before = everything(tmp_path / "shared")
    second = library(tmp_path / "two", **{setting: tmp_path / "shared"})
    with pytest.raises(SettingsUnusable, match=rf"storage\.{setting}.*belongs to another library, in {first.root}"):
        second.run()
    with pytest.raises(Refused, match="which is there"):
        adopt_folders(str(second.root), accept_others=True)
    assert everything(tmp_path / "shared") == before


def test_services_do_not_take_the_kept_settings_of_another_library_for_their_own(tmp_path: Path) -> None:
    first = library(tmp_path / "one", state=tmp_path / "shared")
    settings_in_force.keep(first.library)
    second = library(tmp_path / "two", state=tmp_path / "shared")
    with pytest.raises(SettingsUnusable, match="belongs to another library"):
        settings_in_force.open_in_force(str(second.root))


def test_a_copy_of_a_library_is_told_to_use_folders_of_its_own_and_then_does(tmp_path: Path) -> None:
    original = library(tmp_path / "original", state=tmp_path / "state")
    original.run()
    shutil.copytree(original.root, tmp_path / "copy")
    copy = Archive(tmp_path / "copy")
    outside(copy, state=tmp_path / "state")
    with pytest.raises(SettingsUnusable, match=r"is a copy of that: name another folder.*delete .*copy/\."):
        copy.run()
    outside(copy, state=tmp_path / "other")
    (copy.root / roots.ID_NAME).unlink()
    assert copy.run().counts == {"adopted": 2}
    assert original.run().counts == {"unchanged": 2}


def test_a_library_that_was_moved_takes_its_folders_along(tmp_path: Path) -> None:
    archive = library(tmp_path / "here", state=tmp_path / "state", variants=tmp_path / "disk")
    archive.run()
    archive.root.rename(tmp_path / "there")
    moved = outside(Archive(tmp_path / "there"), state=tmp_path / "state", variants=tmp_path / "disk")
    assert moved.run().counts == {"unchanged": 2}
    assert json.loads((tmp_path / "state" / roots.MARKER_NAME).read_text())["root"] == str(tmp_path / "there")


def test_another_library_in_the_place_of_a_lost_one_does_not_take_its_state_over_unasked(tmp_path: Path) -> None:
    lost = library(tmp_path / "lost", state=tmp_path / "state")
    lost.run()
    shutil.rmtree(lost.root)
    other = library(tmp_path / "other", state=tmp_path / "state")
    with pytest.raises(SettingsUnusable, match="gone for good: thumb-pipeline adopt"):
        other.run()
    adopt_folders(str(other.root))
    assert other.run(accept_shrink=True).counts == {"rendered": 2}


def test_what_an_earlier_version_made_is_adopted(tmp_path: Path) -> None:
    archive = library(tmp_path / "library", state=tmp_path / "state", variants=tmp_path / "disk")
    archive.run()
    for folder in ("state", "disk"):
        (tmp_path / folder / roots.MARKER_NAME).unlink()
    (archive.root / roots.ID_NAME).unlink()
    with pytest.raises(SettingsUnusable, match="adopt"):
        archive.run()
    _, folders = adopt_folders(str(archive.root))
    assert [each.setting for each in folders if each.is_to_be_marked] == ["storage.state", "storage.variants"]
    assert archive.run().counts == {"unchanged": 2}


@pytest.mark.parametrize(
    "text",
    [
        *("", "null", "[]", "{}", '{"library_id": 5}', "\x00", "[" * 100_000, '{"library_id": "../..", "root": "/"}'),
        '{"library_id": "00000000-0000-4000-8000-000000000000", "root": "%GG"}',
        '{"library_id": "00000000-0000-4000-8000-000000000000", "root": "\\u0000"}',
    ],
)
def test_a_marker_of_any_content_is_an_answer_and_no_fault(tmp_path: Path, text: str) -> None:
    archive = library(tmp_path / "library", state=tmp_path / "state")
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / roots.MARKER_NAME).write_text(text)
    with pytest.raises(SettingsUnusable, match=r"storage\.state"):
        archive.run()


def test_a_library_whose_own_folder_is_only_read_is_known_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = library(tmp_path / "library", state=tmp_path / "state")

    publish_new = publishing.publish_new

    def refuse(target: bytes, data: bytes, *, writer: str) -> bool:
        if target.endswith(roots.ID_NAME.encode()):
            raise publishing.CannotWrite("Read-only file system")
        return publish_new(target, data, writer=writer)

    monkeypatch.setattr(publishing, "publish_new", refuse)
    assert archive.run().counts == {"rendered": 2}
    assert archive.run().counts == {"unchanged": 2}
    assert not (archive.root / roots.ID_NAME).exists()
