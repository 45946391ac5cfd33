"""Names as bytes: nothing is lost on the way to text, and no two sources share a variant."""

import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from thumb_pipeline.domain import names

pytestmark = pytest.mark.quick

BYTE = st.integers(1, 255).filter(lambda byte: byte != ord("/"))
ANY_NAME = st.lists(BYTE, min_size=1, max_size=255).map(bytes)
TEXT_NAME = (
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=120)
    .map(str.encode)
    .filter(lambda name: len(name) <= 255)
)
TAGS = ("thumb", "small", "s", "x-1")
EXTENSIONS = ("jpg", "png", "webp", "avif")
_ID = st.text("ab1.-", min_size=1, max_size=8)
_DAY = st.sampled_from(["20250422", "20250423", "day001", "day002", "day0001"])
CANONICAL = st.builds(
    lambda number, day, ending: f"timelapse-{number}_{day}_143022.{ending}".encode(),
    _ID,
    _DAY,
    st.sampled_from(["jpg", "JPG", "jpeg", "png"]),
)
LONG_NAME = st.builds(lambda head, n: (head * 255)[:n], ANY_NAME, st.integers(200, 255))
PLAIN_NAME = st.one_of(ANY_NAME, TEXT_NAME, CANONICAL, LONG_NAME)
LOOKS_LIKE_A_VARIANT = st.builds(
    names.variant_name,
    PLAIN_NAME,
    st.sampled_from(TAGS),
    st.sampled_from(EXTENSIONS),
)
LOOKS_SHORTENED = st.builds(
    lambda name, head, cut: name[:cut] + b"~" + names.name_digest(head).encode(),
    PLAIN_NAME,
    PLAIN_NAME,
    st.integers(1, 222),
)
NAME = st.one_of(PLAIN_NAME, LOOKS_LIKE_A_VARIANT, LOOKS_SHORTENED)
TAG, EXTENSION = st.sampled_from(TAGS), st.sampled_from(EXTENSIONS)


@given(NAME)
def test_text_leads_back_to_the_same_bytes(name: bytes) -> None:
    assert names.to_bytes(names.to_text(name)) == name


PIECE = st.one_of(
    st.characters(exclude_characters="/%\u2028\u2029", exclude_categories=["Cs", "Cc"]),
    st.sampled_from(["%25", "%FF", "%0A", "%C3", "%41", "%", "%2", "%ff"]),
)


@given(st.lists(PIECE, min_size=1, max_size=20).map("".join))
def test_a_text_that_names_a_file_names_it_in_one_way_only(text: str) -> None:
    try:
        name = names.to_bytes(text)
    except ValueError:
        return
    assert names.to_text(name) == text


@given(NAME)
def test_texts_are_utf8_without_control_characters(name: bytes) -> None:
    text = names.to_text(name)
    assert text.encode().decode() == text
    assert not any(unicodedata.category(character) == "Cc" for character in text)
    assert "\u2028" not in text
    assert "\u2029" not in text


@given(TEXT_NAME)
def test_both_unicode_normal_forms_stay_apart(name: bytes) -> None:
    composed, decomposed = (unicodedata.normalize(form, name.decode()) for form in ("NFC", "NFD"))
    assume(composed != decomposed)
    assert names.to_text(composed.encode()) != names.to_text(decomposed.encode())
    assert names.variant_name(composed.encode(), "thumb", "jpg") != names.variant_name(
        decomposed.encode(), "thumb", "jpg"
    )


@pytest.mark.parametrize("text", ["50%.jpg", "a%2", "a%zz", "%41.jpg", "%c3.jpg", "a%2Fb%20"])
def test_a_percent_sign_that_escapes_nothing_is_refused_with_the_remedy(text: str) -> None:
    with pytest.raises(ValueError, match="write a literal % as %25"):
        names.to_bytes(text)


def test_only_what_must_be_is_escaped() -> None:
    assert names.to_text("Foto schön:1 (2)?#.JPG".encode()) == "Foto schön:1 (2)?#.JPG"
    assert names.to_text(b"50%\xff\n.jpg") == "50%25%FF%0A.jpg"


@given(NAME, NAME, TAG, EXTENSION)
def test_two_sources_never_share_a_variant(one: bytes, other: bytes, tag: str, extension: str) -> None:
    assume(one != other)
    assert names.variant_name(one, tag, extension) != names.variant_name(other, tag, extension)


@given(NAME, TAG, EXTENSION, TAG, EXTENSION)
def test_a_source_named_like_anothers_variant_gets_a_name_of_its_own(
    name: bytes, tag: str, extension: str, other_tag: str, other_extension: str
) -> None:
    variant = names.variant_name(name, tag, extension)
    again = names.variant_name(variant, other_tag, other_extension)
    assert again != names.variant_name(name, other_tag, other_extension)


@given(st.sets(NAME, max_size=30), st.sets(st.tuples(TAG, EXTENSION), min_size=1))
def test_all_variants_of_a_folder_have_different_names(sources: set[bytes], recipes: set[tuple[str, str]]) -> None:
    made = {names.variant_name(source, *recipe) for source in sources for recipe in recipes}
    assert len(made) == len(sources) * len(recipes)


@given(CANONICAL, TAG)
def test_sources_that_differ_only_in_extension_have_different_variants(name: bytes, tag: str) -> None:
    stem = name.rpartition(b".")[0]
    endings = (b".jpg", b".JPG", b".jpeg", b".png", b".jpg.jpg", b"")
    assert len({names.variant_name(stem + ending, tag, "jpg") for ending in endings}) == len(endings)


@given(NAME, TAG, EXTENSION)
def test_every_variant_name_is_one_a_disk_takes(name: bytes, tag: str, extension: str) -> None:
    variant = names.variant_name(name, tag, extension)
    assert 0 < len(variant) <= names.MAX_NAME_BYTES
    assert b"/" not in variant
    assert b"\0" not in variant
    assert variant.endswith(f".{extension}".encode())


@given(NAME, TAG, EXTENSION)
def test_no_source_of_ours_has_a_variant_that_looks_unfinished(name: bytes, tag: str, extension: str) -> None:
    assume(not names.is_left_out(name))
    assert not names.variant_name(name, tag, extension).startswith(names.TEMPORARY_PREFIX.encode())


@given(TEXT_NAME, TAG, EXTENSION)
def test_a_shortened_name_has_no_half_character(name: bytes, tag: str, extension: str) -> None:
    long_name = (name * 255)[:255].decode(errors="ignore").encode()
    names.variant_name(long_name, tag, extension).decode()


@given(NAME, TAG, EXTENSION)
def test_a_variant_name_leads_back_to_its_source_unless_it_was_cut(name: bytes, tag: str, extension: str) -> None:
    variant = names.variant_name(name, tag, extension)
    was_cut = b"~" + names.name_digest(name).encode() in variant
    assert names.source_name(variant, tag, extension) == (None if was_cut else name)


@given(NAME, TAG, EXTENSION)
def test_a_name_that_leads_to_a_source_is_that_sources_variant(variant: bytes, tag: str, extension: str) -> None:
    source = names.source_name(variant, tag, extension)
    assert source is None or names.variant_name(source, tag, extension) == variant


@pytest.mark.parametrize(
    ("source", "thumb", "small"),
    [
        (
            b"timelapse-2_20250422_143022.jpg",
            b"timelapse-2_thumb_20250422_143022.jpg",
            b"timelapse-2_small_20250422_143022.jpg",
        ),
        (
            b"timelapse-2_day001_143022.jpg",
            b"timelapse-2_thumb_day001_143022.jpg",
            b"timelapse-2_small_day001_143022.jpg",
        ),
        (b"IMG_0012.JPG", b"IMG_0012.JPG_thumb.jpg", b"IMG_0012.JPG_small.jpg"),
        (b"\xff :%.png", b"\xff :%.png_thumb.jpg", b"\xff :%.png_small.jpg"),
    ],
)
def test_both_published_patterns_and_any_other_name_become(source: bytes, thumb: bytes, small: bytes) -> None:
    assert names.variant_name(source, "thumb", "jpg") == thumb
    assert names.variant_name(source, "small", "jpg") == small


@pytest.mark.parametrize(
    "name",
    [b".hidden.jpg", b"a.jpg.tmp", b"A.TMP", b"a.Part", b"a.filepart", b"a.crdownload", b"a.jpg~", b".tp-1-2-3", b"."],
)
def test_hidden_and_unfinished_names_are_left_out(name: bytes) -> None:
    assert names.is_left_out(name)


@pytest.mark.parametrize("name", [b"a.jpg", b"tmp", b"a.tmp.jpg", b"~a.jpg", b"part.jpg", b"a.\xc5\xbfwp", b"\xff"])
def test_every_other_name_is_a_source(name: bytes) -> None:
    assert not names.is_left_out(name)
