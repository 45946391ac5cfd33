"""What the nightly reconcile makes of frames that came, changed or went without being noticed by the watching."""

import os
from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import pytest
from PIL import Image

from thumb_pipeline_tests.defs.conftest import carried_out, numbers
from thumb_pipeline_tests.stages.archives import KEY, Archive, states

pytestmark = pytest.mark.daemon

FIRST, SECOND, THIRD, FOURTH = (f"timelapse-1_20250422_1{hour}0000.jpg" for hour in range(4))
MADE = {FIRST: 40, THIRD: 120}
VARIANTS = ("small", "thumbnail")
A_DAY_NS = 86_400 * 1_000_000_000


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """Two frames with their variants; that of the hour between them is missing."""
    made = Archive(tmp_path / "library")
    for name, color in MADE.items():
        made.frame(name, color=color)
    assert made.run().counts == {"rendered": 4}
    return made


def paths(archive: Archive, *names: str) -> dict[str, Path]:
    """The variants of some frames, as `variant_files` names them."""
    found = [archive.variant(name, variant) for name in names for variant in VARIANTS]
    return {f"{path.parent.name}/{path.name}": path for path in found}


def red_of(path: Path) -> int:
    """How red a picture of one colour is, in steps of ten."""
    with Image.open(path) as picture:
        return round(picture.convert("RGB").resize((1, 1)).tobytes()[0] / 10) * 10


def assert_shown(archive: Archive, colors: Mapping[str, int]) -> None:
    """Nothing is left to be made, and each variant shows its frame."""
    assert archive.plan().rows.is_empty()
    assert {name: {red_of(path) for path in paths(archive, name).values()} for name in colors} == {
        name: {color} for name, color in colors.items()
    }


def orphans_by_kind(archive: Archive, instance: dg.DagsterInstance) -> dict[str, int]:
    """What the nightly verification tells of files that nothing expects."""
    said = numbers(carried_out(archive, instance, "nightly_verify"), "orphan_report")
    return {name: n for name, n in said.items() if name.startswith("kind/") and n}


def test_a_late_frame_that_kept_the_mtime_of_its_capture_gets_its_variants(
    archive: Archive, instance: dg.DagsterInstance
) -> None:
    late = archive.frame(SECOND, color=80)
    captured_ns = archive.path(FIRST).stat().st_mtime_ns - A_DAY_NS
    os.utime(late, ns=(captured_ns, captured_ns))
    carried_out(archive, instance, "nightly_reconcile")
    assert_shown(archive, {**MADE, SECOND: 80})
    assert archive.variant_files() == set(paths(archive, FIRST, SECOND, THIRD))


def test_frames_that_come_out_of_order_get_their_variants(archive: Archive, instance: dg.DagsterInstance) -> None:
    archive.frame(FOURTH, color=160)
    carried_out(archive, instance, "nightly_reconcile")
    archive.frame(SECOND, color=80)
    before = states(archive.root / "cameras")
    carried_out(archive, instance, "nightly_reconcile")
    assert_shown(archive, {**MADE, SECOND: 80, FOURTH: 160})
    assert states(archive.root / "cameras").items() >= before.items()


def test_a_frame_that_comes_out_of_order_does_not_take_the_place_of_the_newest(
    archive: Archive, instance: dg.DagsterInstance
) -> None:
    archive.settings(more='[policy]\nsmall_generation_mode = "latest_only"')
    archive.frame(FOURTH, color=160)
    carried_out(archive, instance, "nightly_reconcile")
    archive.frame(SECOND, color=80)
    carried_out(archive, instance, "nightly_reconcile")
    assert archive.plan().rows.is_empty()
    assert red_of(archive.variant(FOURTH)) == 160
    assert red_of(archive.variant(SECOND, "thumbnail")) == 80
    assert not archive.variant(SECOND).exists()


def test_a_renamed_frame_has_variants_under_its_new_name_and_those_of_the_old_one_stay(
    archive: Archive, instance: dg.DagsterInstance
) -> None:
    archive.path(FIRST).rename(archive.path(FOURTH))
    carried_out(archive, instance, "nightly_reconcile")
    assert_shown(archive, {THIRD: 120, FOURTH: 40})
    assert archive.variant_files() == set(paths(archive, FIRST, THIRD, FOURTH))
    assert orphans_by_kind(archive, instance) == {"kind/source_gone": 2}


def test_a_frame_that_is_overwritten_in_place_is_rendered_again_and_no_other(
    archive: Archive, instance: dg.DagsterInstance
) -> None:
    inode = archive.path(FIRST).stat().st_ino
    others = states(archive.variant(THIRD).parent.parent)
    archive.frame(FIRST, color=200)
    assert archive.path(FIRST).stat().st_ino == inode
    carried_out(archive, instance, "nightly_reconcile")
    assert_shown(archive, {**MADE, FIRST: 200})
    after = states(archive.variant(THIRD).parent.parent)
    changed = {os.fsdecode(os.path.basename(path)) for path in others if after[path] != others[path]}
    assert changed == {FIRST, *(path.name for path in paths(archive, FIRST).values())}


def test_the_variants_of_a_deleted_frame_stay_and_are_orphans(archive: Archive, instance: dg.DagsterInstance) -> None:
    archive.path(FIRST).unlink()
    before = states(archive.root / "cameras")
    carried_out(archive, instance, "nightly_reconcile")
    assert_shown(archive, {THIRD: 120})
    assert states(archive.root / "cameras") == before
    assert archive.inventory(KEY)["source_name"].to_list() == [THIRD]
    assert orphans_by_kind(archive, instance) == {"kind/source_gone": 2}
