"""Which size is made from which."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thumb_pipeline.imaging.chain import LEAST_RATIO, Link, chain

pytestmark = pytest.mark.quick

SIZES = st.tuples(st.integers(1, 3000), st.integers(1, 3000))


def test_the_thumbnail_is_made_from_the_small_picture() -> None:
    found = chain([(200, 113), (800, 450)], (1920, 1080))
    assert found == (Link(size=(800, 450), parent=None), Link(size=(200, 113), parent=(800, 450)))


def test_sizes_close_together_both_come_from_the_source() -> None:
    assert [link.parent for link in chain([(800, 450), (700, 394)], (1920, 1080))] == [None, None]


def test_the_smallest_that_is_enough_larger_is_the_parent() -> None:
    found = chain([(1600, 900), (800, 450), (200, 113)], (1920, 1080))
    assert found[-1] == Link(size=(200, 113), parent=(800, 450))


def test_an_enlarged_picture_is_no_parent() -> None:
    assert [link.parent for link in chain([(4000, 3000), (200, 150)], (400, 300))] == [None, None]


def test_the_same_size_is_made_once() -> None:
    assert len(chain([(80, 60), (80, 60)], (160, 120))) == 1


@given(st.lists(SIZES, max_size=6), SIZES)
def test_every_size_is_made_once_and_after_its_parent(sizes: list[tuple[int, int]], source: tuple[int, int]) -> None:
    made: set[tuple[int, int]] = set()
    for link in chain(sizes, source):
        assert link.size not in made
        if link.parent is not None:
            assert link.parent in made
            assert all(
                outer >= LEAST_RATIO * inner or outer == inner == 1
                for outer, inner in zip(link.parent, link.size, strict=True)
            )
        made.add(link.size)
    assert made == set(sizes)
