"""Partitions follow the archive: a source, a timelapse, a camera that is removed."""

import shutil

import dagster as dg
import pytest

from thumb_pipeline.defs.partitions import retirable
from thumb_pipeline.stages.inventory.listing import discover
from thumb_pipeline_tests.defs.conftest import KEYS, Located, numbers

pytestmark = pytest.mark.daemon

ORDER = ["a", "b", "c", "d"]


def test_a_removed_source_leaves_orphans_and_counts_follow(located: Located) -> None:
    located.job("verify")
    located.archive.path("a.jpg", KEYS[0]).unlink()
    located.job("generate")
    said = numbers(located.job("verify"), "verification_report")
    assert (said["sources"], said["valid"], said["orphan"]) == (1, 2, 2)
    assert located.red() == {"no_orphans"}
    assert located.partitions() == set(KEYS)


def test_a_removed_timelapse_is_forgotten_once_that_is_accepted(located: Located) -> None:
    located.job("verify")
    library = located.archive.library
    shutil.rmtree(located.archive.frames(KEYS[0]).parent)
    located.job("generate", success=False)
    assert located.partitions() == set(KEYS)
    assert discover(library).vanished == [KEYS[0]]
    located.job("generate", accept_shrink=True)
    assert located.partitions() == set(KEYS[1:])
    assert discover(library).vanished == []
    tables = (library.inventory, library.manifest, library.last_plan, library.findings)
    assert [table.schema.name for table in tables if KEYS[0] in set(table.keys())] == []
    assert KEYS[0] not in library.verdicts.read(["library/all"])["timelapse"]


def test_a_removed_camera_takes_its_timelapses_and_no_other(located: Located) -> None:
    shutil.rmtree(located.archive.root / "cameras/camera-1")
    located.job("generate", accept_shrink=True)
    assert located.partitions() == {KEYS[2]}
    located.job("verify")
    assert located.red() == set()


def test_a_timelapse_that_comes_back_is_registered_and_verified_again(located: Located) -> None:
    kept = located.archive.root / "kept"
    shutil.copytree(located.archive.root / "cameras/camera-2", kept)
    shutil.rmtree(located.archive.root / "cameras/camera-2")
    located.job("generate", accept_shrink=True)
    shutil.copytree(kept, located.archive.root / "cameras/camera-2")
    located.job("generate")
    located.job("verify")
    assert located.partitions() == set(KEYS)
    assert located.red() == set()


def test_frames_gone_beside_variants_are_no_retirement(located: Located) -> None:
    shutil.rmtree(located.archive.frames(KEYS[0]))
    located.job("generate", accept_shrink=True)
    located.job("verify")
    assert located.partitions() == set(KEYS)
    assert located.red() == {"no_orphans"}


def test_a_run_in_flight_keeps_its_partition(located: Located) -> None:
    shutil.rmtree(located.archive.frames(KEYS[0]).parent)
    waiting = located.instance.create_run_for_job(_nothing, tags={"dagster/partition": KEYS[0]})
    located.job("generate", accept_shrink=True)
    assert located.partitions() == set(KEYS)
    located.instance.report_run_failed(waiting)
    located.job("verify")
    assert located.partitions() == set(KEYS[1:])


@dg.job
def _nothing() -> None:
    pass


@pytest.mark.parametrize(
    ("runs", "retired"),
    [
        ([], ["a", "c"]),
        ([{"dagster/partition": "a"}], ["c"]),
        ([{"dagster/partition": "b"}], ["a", "c"]),
        ([{"dagster/asset_partition_range_start": "b", "dagster/asset_partition_range_end": "d"}], ["a"]),
        ([{"dagster/asset_partition_range_start": "b", "dagster/asset_partition_range_end": "gone"}], []),
        ([{"dagster/partition": "b"}, {}], []),
    ],
)
def test_only_what_no_run_counts_on_is_retired(runs: list[dict[str, str]], retired: list[str]) -> None:
    assert retirable({"c", "a"}, ORDER, runs, is_backfilled=False) == retired


def test_a_backfill_under_way_keeps_all_partitions() -> None:
    assert retirable({"a"}, ORDER, [], is_backfilled=True) == []
