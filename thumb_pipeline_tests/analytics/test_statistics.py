"""Coverage and disk usage over small tables counted by hand."""

import polars as pl
import pytest

from thumb_pipeline.analytics.coverage import coverage
from thumb_pipeline.analytics.usage import variant_usage
from thumb_pipeline_tests.analytics.tables import KEY, SMALL, THUMB, file, frame, spec

pytestmark = pytest.mark.quick

OTHER = "camera-2/timelapse-1"
TALLY = pl.LazyFrame(
    [
        (KEY, "thumbnail", True, 6),
        (KEY, "thumbnail", False, 2),
        (KEY, "small", False, 8),
        (OTHER, "thumbnail", True, 2),
    ],
    schema={"timelapse": pl.String, "variant": pl.String, "is_present": pl.Boolean, "n": pl.Int64},
    orient="row",
)


def test_coverage_counts_required_and_present_over_all_timelapses() -> None:
    assert coverage(TALLY).collect().rows() == [("small", 8, 0, 0.0), ("thumbnail", 10, 8, 0.8)]


def test_coverage_counts_by_timelapse_where_asked() -> None:
    assert coverage(TALLY, by=("timelapse", "variant")).collect().rows() == [
        (KEY, "small", 8, 0, 0.0),
        (KEY, "thumbnail", 8, 6, 0.75),
        (OTHER, "thumbnail", 2, 2, 1.0),
    ]


def test_where_nothing_is_required_there_is_no_ratio() -> None:
    nothing = TALLY.filter(pl.col("timelapse") == OTHER).with_columns(n=pl.lit(0, pl.Int64))
    assert coverage(nothing).collect().rows() == [("thumbnail", 0, 0, None)]


def usage(*files: dict[str, object], specs: tuple[object, ...] = (THUMB, SMALL)) -> list[tuple[object, ...]]:
    found = variant_usage(frame(list(files), file()), specs).collect()  # type: ignore[arg-type]
    return sorted(found.select("timelapse", "variant", "n_files", "n_bytes").rows())


def test_usage_counts_whatever_lies_in_a_variants_folder() -> None:
    assert usage(file("thumbnails/a.jpg_thumb.jpg"), file("thumbnails/README", n_bytes=3), file("smalls/x")) == [
        (KEY, "small", 1, 77),
        (KEY, "thumbnail", 2, 80),
    ]


def test_usage_counts_by_timelapse() -> None:
    assert usage(file("smalls/x"), file("smalls/x", timelapse=OTHER)) == [
        (KEY, "small", 1, 77),
        (OTHER, "small", 1, 77),
    ]


def test_other_folders_count_for_nobody() -> None:
    assert usage(file("overlays/a.jpg_thumb.jpg")) == []


SHARED = (spec(folder="vs"), spec("small", tag="small", folder="vs"))


@pytest.mark.parametrize("specs", [SHARED, SHARED[::-1]])
@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("a.jpg_thumb.jpg", "thumbnail"),
        ("a.jpg_small.jpg", "small"),
        ("timelapse-1_thumb_20250422_143022.jpg", "thumbnail"),
        ("timelapse-1_small_day001_143022.jpg", "small"),
        ("x_small_y.jpg_thumb.jpg", "thumbnail"),
        ("x_thumb_y.jpg_small.jpg", "small"),
        ("timelapse-1_small_20250422_143022.jpg_thumb.jpg", "thumbnail"),
    ],
)
def test_in_a_shared_folder_a_file_belongs_to_the_variant_whose_tag_it_bears(
    name: str, variant: str, specs: tuple[object, ...]
) -> None:
    assert usage(file(f"vs/{name}"), specs=specs) == [(KEY, variant, 1, 77)]
