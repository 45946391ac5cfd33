"""Text from outside, made safe for tables, pages and terminals."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thumb_pipeline.domain.plain_text import plain, plain_lines

pytestmark = pytest.mark.quick

ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=()))


def is_safe(letter: str) -> bool:
    """Whether a letter moves no terminal, ends no line and reorders no text, by Unicode's data."""
    turns = unicodedata.bidirectional(letter) in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    return not turns and unicodedata.category(letter) not in {"Cc", "Cs", "Zl", "Zp"}


@given(ANY_TEXT, st.integers(1, 50))
def test_any_text_becomes_one_safe_line_of_bounded_length(text: str, most: int) -> None:
    made = plain(text, most=most)
    assert all(map(is_safe, made))
    assert made.encode().decode() == made
    assert len(made) <= most
    assert plain(made, most=most) == made


@given(ANY_TEXT)
def test_lines_stay_lines(text: str) -> None:
    made = plain_lines(text)
    assert all(letter == "\n" or is_safe(letter) for letter in made)
    assert made.count("\n") == text.count("\n")


@pytest.mark.parametrize("text", ["Küche 2", "東京 駅前", "שלום", "naïve “quoted” 🙂", "a b"])
def test_safe_text_stays_as_it_is(text: str) -> None:
    assert plain(text) == text
