"""A camera whose folder cannot be read, on its own disk say: the others go on, and nothing is concluded about it."""

import shutil
from pathlib import Path

import pytest

from thumb_pipeline.stages.inventory.listing import discover, discover_apart, list_sources
from thumb_pipeline.stages.inventory.selection import Selection
from thumb_pipeline.stages.planning.plan_apart import plan_apart
from thumb_pipeline.storage.folders import ArchiveUnavailable
from thumb_pipeline_tests.stages.archives import KEY, Archive
from thumb_pipeline_tests.stages.captures.test_follow import followed
from thumb_pipeline_tests.stages.captures.test_watch import looked, watch_of

pytestmark = pytest.mark.quick

OTHER = "camera-2/timelapse-2"
TARGETS = ("not-mounted", "camera-1")
"""What the link of the camera leads to: nothing, or itself."""


def cut_off(archive: Archive, target: str, *, tree: str = "") -> None:
    """Puts a link that leads nowhere in the place of a camera's folder."""
    camera = archive.root / tree / "cameras" / "camera-1"
    camera.rename(archive.root / "its-disk")
    camera.symlink_to(target)


@pytest.fixture(params=TARGETS)
def unreachable(done: Archive, request: pytest.FixtureRequest) -> Archive:
    """Two sources of camera-1, made and then out of reach, and a new frame of camera-2."""
    cut_off(done, request.param)
    done.frame("new.jpg", key=OTHER)
    return done


def test_frames_of_the_other_cameras_are_rendered_as_they_come(unreachable: Archive) -> None:
    found = followed(unreachable, lambda: unreachable.frame("later.jpg", key=OTHER))
    assert all(unreachable.variant(name, key=OTHER).exists() for name in ("new.jpg", "later.jpg"))
    assert all(not done.trouble for done in found)  # nothing of camera-1 was asked for


def test_the_watcher_names_the_camera(unreachable: Archive) -> None:
    watch = watch_of(unreachable)
    assert looked(unreachable, watch) == {OTHER: ["new.jpg"]}
    assert "check the disk" in watch.trouble["camera-1"]


def test_frames_of_a_camera_that_went_away_after_they_were_found_are_set_aside(unreachable: Archive) -> None:
    selection = Selection(timelapses=(KEY, OTHER), sources=("a.jpg", "new.jpg"), is_hint=True)
    with unreachable.library.lease() as lease:
        plan, left_out = plan_apart(unreachable.library, selection, lease)
    assert list(left_out) == [KEY]
    assert set(plan.rows["timelapse"]) == {OTHER}


def test_the_whole_library_is_refused(unreachable: Archive) -> None:
    with pytest.raises(ArchiveUnavailable, match=r"camera-1 cannot be read .*check the disk"):
        unreachable.run()


def test_a_timelapse_of_another_camera_is_not(unreachable: Archive) -> None:
    assert unreachable.run(timelapses=(OTHER,)).counts == {"rendered": 2}


@pytest.mark.parametrize("sources", [(), ("a.jpg",)])
def test_a_timelapse_of_the_camera_is_unavailable_and_not_unknown(
    unreachable: Archive, sources: tuple[str, ...]
) -> None:
    with pytest.raises(ArchiveUnavailable, match="camera-1 cannot be read"):
        unreachable.run(timelapses=(KEY, OTHER), sources=sources)


def test_who_goes_on_without_what_is_refused_leaves_out_the_camera_by_its_name(unreachable: Archive) -> None:
    with unreachable.library.lease() as lease:
        plan, left_out = plan_apart(unreachable.library, Selection(accept_shrink=True), lease)
    assert set(plan.rows["timelapse"]) == {OTHER}
    assert list(left_out) == ["camera-1"]
    assert all(part.survey.vanished.is_empty() for part in plan.parts)


def test_its_timelapses_count_neither_as_there_nor_as_vanished(unreachable: Archive) -> None:
    found = discover_apart(unreachable.library)
    assert (found.keys, found.vanished, found.stray) == ([OTHER], [], [])
    with pytest.raises(ArchiveUnavailable):
        discover(unreachable.library)


@pytest.mark.parametrize("target", TARGETS)
def test_a_camera_that_cannot_be_read_among_the_variants_is_left_out_too(
    archive: Archive, tmp_path: Path, target: str
) -> None:
    archive.settings(top=f'[storage]\nvariants = "{tmp_path / "library" / "other"}"')
    archive.frame("a.jpg")
    archive.frame("a.jpg", key=OTHER)
    archive.run()
    cut_off(archive, target, tree="other")
    found = discover_apart(archive.library)
    assert (found.keys, found.vanished, found.stray) == ([OTHER], [], [])
    assert list(found.trouble) == ["camera-1"]
    assert archive.run(timelapses=(OTHER,)).counts == {"unchanged": 2}


@pytest.mark.parametrize("target", TARGETS)
def test_variants_of_a_camera_whose_sources_cannot_be_read_are_no_strays(
    archive: Archive, tmp_path: Path, target: str
) -> None:
    archive.settings(top=f'[storage]\nvariants = "{tmp_path / "other"}"')
    archive.frame("a.jpg")
    archive.run()
    archive.library.inventory.drop(KEY)
    cut_off(archive, target)
    assert discover_apart(archive.library).stray == []


def test_its_frames_are_not_listed_as_none(unreachable: Archive) -> None:
    with pytest.raises(ArchiveUnavailable):
        list_sources(unreachable.library, KEY)


def test_a_camera_that_is_back_is_as_it_was(unreachable: Archive) -> None:
    followed(unreachable)
    camera = unreachable.root / "cameras" / "camera-1"
    camera.unlink()
    (unreachable.root / "its-disk").rename(camera)
    assert unreachable.run().counts == {"unchanged": 6}


def test_a_timelapse_whose_folder_turns_in_circles_costs_itself_alone(done: Archive) -> None:
    done.frame("new.jpg", key="camera-1/timelapse-2")
    shutil.rmtree(done.frames().parent)
    done.frames().parent.symlink_to("timelapse-1")
    found = followed(done)
    assert all(not batch.trouble for batch in found)
    assert done.variant("new.jpg", key="camera-1/timelapse-2").exists()
    assert done.inventory().height == 2
