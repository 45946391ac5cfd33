"""Cases in which a report could differ from a naive look at the files, one by one."""

from pathlib import Path

import pytest

from thumb_pipeline.stages.library.open import open_library
from thumb_pipeline_tests.stages import operations
from thumb_pipeline_tests.stages.agreement import assert_agreement
from thumb_pipeline_tests.stages.naive_checker import Checked, check
from thumb_pipeline_tests.stages.world import KEYS, World

pytestmark = pytest.mark.quick

ONE, OTHER = KEYS


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A library with one frame in each of two timelapses, and their variants."""
    world = World(tmp_path)
    for key in KEYS:
        world.capture(key, b"a.jpg", (40, 30), 1)
    generate(world)
    return world


def generate(world: World) -> None:
    assert operations.carried_out(operations.GENERATE_ACCEPTING, world.root)
    assert not operations.GENERATE_ACCEPTING.left_undone(check(world.root))


def agreed(world: World) -> Checked:
    """What both say."""
    checked = check(world.root)
    assert_agreement(operations.verify(open_library(str(world.root))), checked)
    return checked


def folder(world: World, key: str, name: str) -> Path:
    return world.root / "cameras" / key / name


def orphans(checked: Checked) -> dict[tuple[str, str], str]:
    return {place: kind for place, (kind, *_) in checked.orphans.items()}


def test_a_source_that_changed_with_the_folder_of_its_variant_is_stale_by_its_source(world: World) -> None:
    world.settings({"small": {"folder": "minis"}})
    world.edit_source("touch", 0, b"a.jpg")
    states = agreed(world).states
    assert (states[ONE, "a.jpg", "small"], states[OTHER, "a.jpg", "small"]) == ("stale_source", "stale_spec")


def test_a_file_beside_a_refusal_that_no_longer_stands_is_judged_by_its_own_note(world: World) -> None:
    world.back_up("cameras")
    world.edit_source("break", 0, b"a.jpg")
    generate(world)
    world.restore_backup("cameras")
    assert agreed(world).states[ONE, "a.jpg", "small"] == "unrecorded"
    generate(world)


def test_a_refusal_by_another_recipe_says_nothing_about_a_right_file(world: World) -> None:
    world.edit_source("break", 0, b"a.jpg")
    generate(world)
    world.settings({"small": {"quality": 40}})
    assert agreed(world).states[ONE, "a.jpg", "small"] == "stale_source"


def test_variants_that_exchanged_their_names_are_right_and_unrecorded(world: World) -> None:
    thumbnail = {"folder": "thumbnails", "tag": "thumb", "max_width_px": 16, "max_height_px": 12}
    small = {"folder": "smalls", "tag": "small", "max_width_px": 32, "max_height_px": 24}
    world.settings({"small": thumbnail, "thumbnail": small})
    assert set(agreed(world).states.values()) == {"unrecorded"}


def test_a_variant_whose_file_another_one_has_taken_over_is_missing(world: World) -> None:
    thumbnail = {"folder": "thumbnails", "tag": "thumb", "max_width_px": 16, "max_height_px": 12}
    world.settings({"small": thumbnail, "thumbnail": {"folder": "minis", "tag": "mini", "max_width_px": 16}})
    states = agreed(world).states
    assert (states[ONE, "a.jpg", "thumbnail"], states[ONE, "a.jpg", "small"]) == ("missing", "stale_spec")


@pytest.mark.parametrize("gone", [{"large": None}, {"large": {"folder": "more", "tag": "large", "max_width_px": 50}}])
def test_a_folder_that_only_another_timelapse_has_variants_in_is_nobodys_business(
    world: World, gone: dict[str, object]
) -> None:
    large = {"folder": "larges", "tag": "large", "max_width_px": 50}
    world.settings({"large": large, f"policy {OTHER}": {"variants": ["small"]}})
    world.foreign_file(OTHER, "larges", b"a.jpg_large.jpg", "file")
    world.foreign_file(OTHER, "larges", b"a.jpg_large.jpg", "temporary")
    generate(world)
    world.settings(
        {name: table for name, table in gone.items() if table} | {f"policy {OTHER}": {"variants": ["small"]}}
    )
    assert {key for key, place in orphans(agreed(world)) if place.startswith("larges/")} <= {ONE}


def test_variants_in_a_folder_of_the_past_are_found_although_the_policy_left_them_out(world: World) -> None:
    world.settings({"small": {"folder": "minis"}, "policy": {"variants": ["thumbnail"]}})
    assert orphans(agreed(world)) == {(key, "smalls/a.jpg_small.jpg"): "policy" for key in KEYS}


def test_of_two_records_of_one_path_the_one_that_is_asked_for_explains_it(world: World) -> None:
    tiny = {"folder": "smalls", "tag": "small", "max_width_px": 32, "max_height_px": 24}
    world.settings({"small": None, "tiny": tiny})
    generate(world)
    world.edit_source("delete", 0, b"a.jpg")
    assert agreed(world).orphans[ONE, "smalls/a.jpg_small.jpg"][:2] == ("source_gone", "tiny")


def test_a_folder_that_is_called_like_an_unfinished_file_is_no_orphan(world: World) -> None:
    (folder(world, ONE, "smalls") / ".tp-0badf00d-1-1").mkdir()
    assert orphans(agreed(world)) == {}


LATEST_ONLY = {"policy": {"small_generation_mode": "latest_only"}}


def test_the_small_that_the_newest_one_will_supersede_is_no_orphan(world: World) -> None:
    world.settings(LATEST_ONLY)
    world.capture(ONE, b"b.JPG", (40, 30), 2)
    checked = agreed(world)
    assert checked.states[ONE, "b.JPG", "small"] == "missing"
    assert orphans(checked) == {}
    generate(world)
    assert orphans(agreed(world)) == {}


def test_while_the_newest_frame_is_refused_the_one_before_is_the_newest(world: World) -> None:
    world.capture(ONE, b"b.JPG", (40, 30), 2)
    world.settings(LATEST_ONLY)
    world.edit_source("break", 1, b"b.JPG")
    assert operations.carried_out(operations.GENERATE, world.root)
    states = agreed(world).states
    assert (ONE, "b.JPG", "small") not in states
    assert states[ONE, "a.jpg", "small"] == "valid"


def test_a_rotten_variant_is_valid_until_it_is_opened_and_corrupt_from_then_on(world: World) -> None:
    world.rot_variant(0, 700)
    assert set(agreed(world).states.values()) == {"valid"}
    deep = operations.verify(open_library(str(world.root)), deep=True)
    assert_agreement(deep, check(world.root, deep=True))
    assert sorted(agreed(world).states.values()) == ["corrupt", "valid", "valid", "valid"]
