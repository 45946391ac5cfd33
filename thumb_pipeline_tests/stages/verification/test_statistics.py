"""Statistics against a count by hand over the files."""

import os
from collections import Counter
from pathlib import Path

import pytest

from thumb_pipeline.domain import names
from thumb_pipeline.stages.verification.statistics import Measurement, measure
from thumb_pipeline.storage.folders import ArchiveUnavailable
from thumb_pipeline_tests.stages.archives import KEY, Archive

pytestmark = pytest.mark.quick

FOLDERS = {"thumbnail": "thumbnails", "small": "smalls"}
OTHER = "camera-2/timelapse-2"


def counted(archive: Archive) -> tuple[dict[str, tuple[int, int]], dict[str, tuple[int, int]]]:
    """Coverage and usage by a walk that shares nothing with the pipeline but the names of variants."""
    required, present, n_files, n_bytes = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    specs = archive.library.settings.specs
    for folder, _, files in os.walk(os.fsencode(archive.root / "cameras")):
        if os.path.basename(folder) == b"frames":
            for name in files:
                path = os.path.join(folder, name)
                if name.startswith(b".") or name.endswith(b".part") or os.path.islink(path):
                    continue
                for variant, spec in specs.items():
                    made = names.variant_name(name, spec.tag, spec.extension)
                    required[variant] += 1
                    present[variant] += os.path.isfile(os.path.join(folder, b"..", spec.folder.encode(), made))
        for variant, kept in FOLDERS.items():
            if os.path.basename(folder) == kept.encode():
                whole = [os.path.join(folder, name) for name in files if not name.startswith(b".tp-")]
                n_files[variant] += len(whole)
                n_bytes[variant] += sum(os.stat(path).st_size for path in whole)
    return (
        {variant: (required[variant], present[variant]) for variant in specs},
        {variant: (n_files[variant], n_bytes[variant]) for variant in specs},
    )


def told(found: Measurement) -> tuple[dict[str, tuple[int, int]], dict[str, tuple[int, int]]]:
    return (
        {variant: (required, present) for variant, required, present, _ in found.coverage.iter_rows()},
        {variant: (n_files, n_bytes) for variant, n_files, n_bytes in found.disk_usage.iter_rows()},
    )


@pytest.fixture
def mixed(archive: Archive) -> Archive:
    """Sources of all kinds, variants of all kinds, and files that are neither."""
    for name in (b"a.jpg", b"\xff.jpg", b"50%.jpg", b"x" * 251 + b".jpg", b"timelapse-1_20250422_143022.jpg"):
        archive.frame(name)
    archive.frame("b.jpg", key=OTHER)
    archive.other("notes.txt", b"no picture")
    archive.run()
    archive.variant(b"\xff.jpg", "small").unlink()
    archive.variant("a.jpg", "thumbnail").parent.joinpath("stranger.txt").write_bytes(b"12345")
    archive.variant("a.jpg", "thumbnail").parent.joinpath(".tp-0badf00d-1-1").write_bytes(b"12345")
    archive.frame("new.jpg")
    archive.other("late.jpg.part", b"x")
    archive.path("link.jpg").symlink_to(archive.path("a.jpg"))
    (archive.frames().parent / "overlays").mkdir()
    (archive.frames().parent / "overlays" / "a.jpg_thumb.jpg").write_bytes(b"x")
    return archive


def test_statistics_are_what_a_walk_over_the_files_counts(mixed: Archive) -> None:
    found = measure(mixed.library)
    assert told(found) == counted(mixed)
    assert (found.n_sources, found.n_timelapses) == (8, 2)


def test_statistics_by_timelapse_add_up_to_the_totals(mixed: Archive) -> None:
    found = measure(mixed.library)
    for totals, parts, columns in (
        (found.coverage, found.coverage_by_timelapse, ("required", "present")),
        (found.disk_usage, found.disk_usage_by_timelapse, ("n_files", "n_bytes")),
    ):
        for column in columns:
            assert parts[column].sum() == totals[column].sum()
    assert set(found.coverage_by_timelapse["timelapse"]) == {KEY, OTHER}


def test_statistics_believe_no_record(mixed: Archive) -> None:
    for path in mixed.variant("a.jpg").parent.iterdir():
        path.unlink()
    assert told(measure(mixed.library)) == counted(mixed)


def test_measuring_writes_nothing(mixed: Archive) -> None:
    before = sorted(mixed.root.rglob("*"))
    measure(mixed.library)
    assert sorted(mixed.root.rglob("*")) == before


def test_an_empty_library_has_a_row_for_every_variant_and_no_ratio(tmp_path: Path) -> None:
    found = measure(Archive(tmp_path / "library").library)
    assert found.coverage.rows() == [("thumbnail", 0, 0, None), ("small", 0, 0, None)]
    assert found.disk_usage.rows() == [("thumbnail", 0, 0), ("small", 0, 0)]


def test_a_variant_that_a_policy_leaves_out_is_not_required(archive: Archive) -> None:
    archive.settings(more='[policy]\nvariants = ["small"]')
    archive.frame("a.jpg")
    assert measure(archive.library).coverage.rows() == [("thumbnail", 0, 0, None), ("small", 1, 0, 0.0)]


def test_a_partial_count_is_no_count(mixed: Archive) -> None:
    mixed.frames(OTHER).rename(mixed.root / "unmounted")
    mixed.frames(OTHER).symlink_to(mixed.root / "not there")
    with pytest.raises(ArchiveUnavailable):
        measure(mixed.library)
