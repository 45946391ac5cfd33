"""Ways to spoil real bytes: flipped, cut, repeated, mixed with others; for the tests of whatever reads any."""

from dataclasses import dataclass

from hypothesis import strategies as st


@dataclass(frozen=True)
class Edit:
    """One change: what is done, where (shares of the length), and with what."""

    kind: str
    at: float
    length: int
    new: bytes


EDITS = st.lists(
    st.builds(
        Edit,
        kind=st.sampled_from(["flip", "cut", "end", "repeat", "insert", "splice"]),
        at=st.floats(0, 1),
        length=st.integers(1, 64),
        new=st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from([b"\0" * 8, b"\xff" * 8, b'"', b"\\ud800"])),
    ),
    min_size=1,
    max_size=4,
)
"""A few changes in a row."""


def mutated(data: bytes, edits: list[Edit], other: bytes = b"") -> bytes:
    """The bytes after some changes; `other` are those that parts are taken from."""
    for edit in edits:
        start = int(edit.at * len(data))
        end = start + edit.length
        if edit.kind == "flip":
            data = (
                data[:start]
                + bytes(a ^ b for a, b in zip(data[start:], edit.new, strict=False))
                + data[start + len(edit.new) :]
            )
        elif edit.kind == "cut":
            data = data[:start] + data[end:]
        elif edit.kind == "end":
            data = data[:start]
        elif edit.kind == "repeat":
            data = data[:end] + data[start:]
        elif edit.kind == "insert":
            data = data[:start] + edit.new + data[start:]
        else:
            data = data[:start] + other[int(edit.at * len(other)) :][: edit.length * 16] + data[start:]
    return data
