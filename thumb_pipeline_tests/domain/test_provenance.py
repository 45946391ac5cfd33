"""The note of a variant as text: what we write comes back, and nothing else is taken for ours."""

import json
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thumb_pipeline import __version__
from thumb_pipeline.domain.moments import FrameAt, is_moment
from thumb_pipeline.domain.provenance import MAGIC, MAX_NOTE_CHARACTERS, Provenance, without_markup
from thumb_pipeline.domain.variants import RENDER_REVISION
from thumb_pipeline_tests.domain.notes import FIELDS, HOSTILE, note_text

pytestmark = pytest.mark.quick

DIGESTS = st.text("0123456789abcdef", min_size=32, max_size=32)
SIDES = st.integers(1, 2**31 - 1)
MOMENTS = st.one_of(st.builds(FrameAt, seconds=st.floats(0, 1_000_000)), st.builds(FrameAt, share=st.floats(0, 1))).map(
    lambda at: at.text
)
NOTES = st.builds(
    Provenance,
    source_digest=DIGESTS,
    source_n_bytes=st.integers(0, 2**63 - 1),
    source_mtime_ns=st.integers(-(2**63), 2**63 - 1),
    source_name_digest=DIGESTS,
    source_width_px=SIDES,
    source_height_px=SIDES,
    spec_fingerprint=st.text("0123456789abcdef", min_size=16, max_size=16),
    render_revision=st.integers(0, 2**31 - 1),
    version=st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=100),
    checksum=DIGESTS,
    frame_at=st.one_of(st.just(""), MOMENTS),
)
VALUES = st.one_of(
    st.integers(),
    st.floats(),
    st.text(max_size=40),
    st.sampled_from([None, True, [], {}, ["0" * 32], {"a": {"b": [1]}}, "\ud800", 10**400, -(2**63) - 1, "0.1 s"]),
)


@settings(max_examples=200, deadline=None)
@given(NOTES)
def test_every_note_that_can_be_written_comes_back_also_out_of_xml(note: Provenance) -> None:
    assert len(without_markup(note.to_text())) <= MAX_NOTE_CHARACTERS
    assert Provenance.from_text(note.to_text()) == note
    assert Provenance.from_text(without_markup(note.to_text())) == note


def test_the_notes_of_this_version_are_among_them() -> None:
    assert Provenance.from_text(note_text(version=__version__, render_revision=RENDER_REVISION)) is not None


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.builds(FrameAt, seconds=st.floats(0, 1e9)), st.builds(FrameAt, share=st.floats(0, 1))))
def test_every_moment_is_known_as_one(at: FrameAt) -> None:
    assert is_moment(at.text)


@pytest.mark.parametrize(
    "text", ["", "s", "nan s", "inf s", "-1 s", "1", " 1 s", "1 s\n", "1e9999 s", "0x1 s", "1\u0661 s"]
)
def test_other_texts_are_no_moments(text: str) -> None:
    assert not is_moment(text)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_note_that_nobody_could_have_written_is_none_of_ours(hostile: str) -> None:
    assert Provenance.from_text(note_text()) is not None
    assert Provenance.from_text(note_text(**HOSTILE[hostile])) is None


@pytest.mark.parametrize("hostile", [name for name, fields in HOSTILE.items() if fields.keys() <= FIELDS.keys()])
def test_nor_can_such_a_value_be_made(hostile: str) -> None:
    with pytest.raises(ValueError, match="is not valid in a provenance"):
        Provenance(**{**FIELDS, **HOSTILE[hostile]})


@pytest.mark.parametrize("name", FIELDS)
def test_a_note_that_lacks_a_field_is_none_of_ours(name: str) -> None:
    fields = {key: value for key, value in FIELDS.items() if key != name}
    assert Provenance.from_text(MAGIC + json.dumps(fields, separators=(",", ":"), sort_keys=True)) is None


@pytest.mark.parametrize(
    "text",
    [
        note_text() + " ",
        note_text().replace(":", ": "),
        note_text().replace('"version"', '"\\u0076ersion"'),
        note_text().replace("1920", "1920.0"),
        note_text().replace("1920", "1.92e3"),
        note_text().replace("1920", "01920"),
        note_text().replace("}", ',"version":"0.1.0"}'),
        MAGIC + json.dumps(FIELDS, separators=(",", ":"), sort_keys=True)[:-1],
        MAGIC + json.dumps(dict(reversed(FIELDS.items())), separators=(",", ":")),
        MAGIC + "[" * 2_000,
        MAGIC + '{"a":' * 400,
        MAGIC + "9" * 2_000,
        MAGIC + "[]",
        MAGIC + "null",
        MAGIC,
        MAGIC + " " * 10_000_000,
        note_text().removeprefix("t"),
        "taken by Jane",
        "",
    ],
)
def test_what_is_written_in_another_way_is_none_of_ours(text: str) -> None:
    assert Provenance.from_text(text) is None


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from([*FIELDS, "frame_at", "other"]), VALUES, max_size=4))
def test_any_values_in_any_fields_give_a_note_or_none(changed: dict[str, Any]) -> None:
    is_sound_or_none(note_text(**changed))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 400), st.integers(0, 40), st.text(max_size=6))
def test_any_other_text_in_the_place_of_a_part_gives_a_note_or_none(at: int, n_gone: int, new: str) -> None:
    text = note_text(frame_at="0.1 of the duration")
    is_sound_or_none(text[:at] + new + text[at + n_gone :])


def is_sound_or_none(text: str) -> None:
    note = Provenance.from_text(text)
    if note is not None:
        assert Provenance(**asdict(note)) == note
        assert note.to_text() == text.replace("\\u0026", "&").replace("\\u003c", "<")
