"""Orientation and instant from EXIF blocks, sound and otherwise."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from thumb_pipeline.imaging.sources.exif import ExifFacts, read_exif
from thumb_pipeline_tests.imaging.pictures import exif, saved, scene

pytestmark = pytest.mark.quick

ORIGINAL, DIGITIZED, PLAIN = 0x9003, 0x9004, 0x0132
OFFSET_ORIGINAL = 0x9011


def facts(block: bytes) -> ExifFacts:
    picture = Image.new("RGB", (1, 1))
    picture.info["exif"] = block
    return read_exif(picture, io.BytesIO())


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_read_in_both_byte_orders(order: str, orientation: int) -> None:
    assert facts(exif(orientation, order=order)).orientation == orientation


@pytest.mark.parametrize(
    ("main", "detail", "expected"),
    [
        ({}, {ORIGINAL: "2025:04:22 14:30:22"}, "2025-04-22T14:30:22"),
        ({}, {ORIGINAL: "2025:04:22 14:30:22", OFFSET_ORIGINAL: "-03:30"}, "2025-04-22T14:30:22-03:30"),
        ({}, {ORIGINAL: "2025:04:22 14:30:22", OFFSET_ORIGINAL: "   :  "}, "2025-04-22T14:30:22"),
        ({}, {DIGITIZED: "2025:04:22 14:30:22"}, "2025-04-22T14:30:22"),
        ({PLAIN: "2025:04:22 14:30:22"}, {}, "2025-04-22T14:30:22"),
        ({PLAIN: "2020:01:01 00:00:00"}, {ORIGINAL: "2025:04:22 14:30:22"}, "2025-04-22T14:30:22"),
        ({PLAIN: "2025:04:22 14:30:22"}, {ORIGINAL: "0000:00:00 00:00:00"}, "2025-04-22T14:30:22"),
        ({}, {ORIGINAL: "2025-04-22 14:30:22"}, "2025-04-22T14:30:22"),
        ({}, {ORIGINAL: "2025:02:30 14:30:22"}, None),
        ({}, {ORIGINAL: "0001:01:01 00:00:00"}, None),
        ({}, {ORIGINAL: "    :  :     :  :  "}, None),
        ({}, {}, None),
    ],
)
def test_the_instant_is_the_first_plausible_one(
    main: dict[int, str], detail: dict[int, str], expected: str | None
) -> None:
    assert facts(exif(1, main=main, detail=detail)).captured_at == expected


@given(st.binary(max_size=300))
def test_any_bytes_are_read_without_an_exception(block: bytes) -> None:
    assert 1 <= facts(b"Exif\0\0II*\0\x08\0\0\0" + block).orientation <= 8


@given(st.integers(0, 200), st.integers(0, 255))
def test_a_changed_byte_is_read_without_an_exception(at: int, value: int) -> None:
    block = bytearray(exif(6, main={PLAIN: "2025:04:22 14:30:22"}, detail={ORIGINAL: "2025:04:22 14:30:22"}))
    block[at % len(block)] = value
    assert 1 <= facts(bytes(block)).orientation <= 8


def test_exif_in_the_text_of_a_png_is_read() -> None:
    picture = Image.new("RGB", (1, 1))
    picture.info["Raw profile type exif"] = "\nexif\n   99\n" + exif(8).hex()
    assert read_exif(picture, io.BytesIO()).orientation == 8
    picture.info["Raw profile type exif"] = "\nexif\n   99\nno hex"
    assert read_exif(picture, io.BytesIO()) == ExifFacts()


def test_a_tiff_gives_its_instant_but_not_its_orientation() -> None:
    stream = io.BytesIO(saved(scene(), "TIFF", tiffinfo={PLAIN: "2025:04:22 14:30:22", 0x0112: 6}))
    with Image.open(stream) as picture:
        assert read_exif(picture, stream) == ExifFacts(orientation=1, captured_at="2025-04-22T14:30:22")
