"""Names computed for whole columns are those computed one by one."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thumb_pipeline.analytics.expected import expected_variants, is_source_name, variant_path
from thumb_pipeline.domain import names
from thumb_pipeline.domain.variants import OutputFormat
from thumb_pipeline_tests.analytics.tables import SMALL, THUMB, WEBP, path, spec
from thumb_pipeline_tests.domain.test_names import NAME

pytestmark = pytest.mark.quick

SPECS = (
    THUMB,
    SMALL,
    WEBP,
    spec(tag="a" * 32, format=OutputFormat.AVIF),
    spec(tag="x-1", format=OutputFormat.PNG),
)
ENDED = st.builds(
    lambda name, ending: name[:200] + ending,
    NAME,
    st.sampled_from(
        [b"", *names.TEMPORARY_ENDINGS, b".TMP", b".Part", "\u017fwp".encode(), b"\n", b".tmp\n", ".\u017fwp".encode()]
    ),
)


@settings(deadline=None)
@given(st.lists(NAME, min_size=1, max_size=12), st.sampled_from(SPECS))
def test_the_path_of_a_variant_is_its_folder_with_the_name_that_names_gives(sources: list[bytes], recipe) -> None:  # type: ignore[no-untyped-def]
    texts = [names.to_text(name) for name in sources]
    found = pl.DataFrame({"source_name": texts}).select(variant_path(recipe).alias("p"))["p"].to_list()
    assert found == [
        f"{recipe.folder}/{names.to_text(names.variant_name(name, recipe.tag, recipe.extension))}" for name in sources
    ]


@settings(deadline=None, max_examples=60)
@given(st.lists(ENDED, min_size=1, max_size=12))
def test_the_same_names_are_left_out_in_a_column_and_one_by_one(sources: list[bytes]) -> None:
    texts = [names.to_text(name) for name in sources]
    found = pl.DataFrame({"source_name": texts}).select(is_source_name().alias("is"))["is"].to_list()
    assert found == [not names.is_left_out(name) for name in sources]


def test_every_source_is_expected_in_every_spec() -> None:
    sources = pl.LazyFrame({"source_name": ["a.jpg", "b.jpg"], "kept": [1, 2]})
    found = expected_variants(sources, (THUMB, SMALL)).sort("source_name", "variant").collect()
    assert found.select("source_name", "kept", "variant", "spec_fingerprint", "variant_path").rows() == [
        (name, kept, recipe.name, recipe.fingerprint, path(name, recipe))
        for name, kept in (("a.jpg", 1), ("b.jpg", 2))
        for recipe in (SMALL, THUMB)
    ]


@pytest.mark.parametrize("specs", [(), (THUMB,), (THUMB, SMALL)])
def test_no_source_is_expected_in_nothing(specs: tuple[object, ...]) -> None:
    none = pl.LazyFrame(schema={"source_name": pl.String})
    found = expected_variants(none, specs).collect()  # type: ignore[arg-type]
    assert found.height == 0
    assert dict(found.schema) == {
        "source_name": pl.String,
        "variant": pl.String,
        "spec_fingerprint": pl.String,
        "variant_path": pl.String,
    }
