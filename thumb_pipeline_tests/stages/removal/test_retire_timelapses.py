"""When nothing is left of a timelapse, and what is forgotten then."""

import shutil
from pathlib import Path

import pytest

from thumb_pipeline.stages.inventory.listing import discover
from thumb_pipeline.stages.removal.retire_timelapses import find_gone_timelapses, forget
from thumb_pipeline_tests.stages.archives import KEY, Archive, surveyed

pytestmark = pytest.mark.quick

OTHER = "camera-2/timelapse-2"


def test_a_folder_that_is_gone_is_not_enough_while_its_sources_are_recorded(done: Archive) -> None:
    done.frame("a.jpg", key=OTHER)
    shutil.rmtree(done.frames().parent)
    assert find_gone_timelapses(done.library) == []
    surveyed(done)
    assert find_gone_timelapses(done.library) == [KEY]


def test_a_tree_that_is_not_there_retires_nothing(done: Archive) -> None:
    surveyed(done)
    shutil.rmtree(done.root / "cameras")
    assert find_gone_timelapses(done.library, [KEY]) == []


def test_variants_elsewhere_keep_their_timelapse_until_they_are_gone(archive: Archive, tmp_path: Path) -> None:
    archive.settings(top=f'[storage]\nvariants = "{tmp_path / "other"}"')
    archive.frame("a.jpg")
    archive.frame("a.jpg", key=OTHER)
    archive.run()
    shutil.rmtree(archive.frames().parent)
    surveyed(archive)
    assert find_gone_timelapses(archive.library) == []
    for variant in ("small", "thumbnail"):
        archive.variant("a.jpg", variant).unlink()
    assert find_gone_timelapses(archive.library) == [KEY]


def test_a_key_without_any_record_is_gone_and_what_is_no_key_is_not_judged(done: Archive) -> None:
    assert find_gone_timelapses(done.library, [KEY, OTHER, "made by hand"]) == [OTHER]


def test_forgetting_leaves_no_slice_and_can_be_repeated(done: Archive) -> None:
    done.frame("a.jpg", key=OTHER)
    done.run()
    shutil.rmtree(done.frames().parent)
    surveyed(done)
    assert forget(done.library, KEY)
    assert forget(done.library, KEY)
    assert discover(done.library).vanished == []
    assert done.library.manifest.keys() == [OTHER]


def test_sources_that_came_back_meanwhile_are_not_forgotten(done: Archive) -> None:
    assert not forget(done.library, KEY)
    assert done.inventory().height == 2


@pytest.mark.parametrize("times", [1, 2])
def test_a_timelapse_that_comes_back_starts_anew(done: Archive, times: int) -> None:
    for _ in range(times):
        kept = done.path("a.jpg").read_bytes()
        shutil.rmtree(done.frames().parent)
        surveyed(done)
        forget(done.library, KEY)
        done.frames().mkdir(parents=True)
        done.other("a.jpg", kept)
        assert done.run().counts == {"rendered": 2}
    assert done.manifest().height == 2
