"""Formats by their first bytes, and containers that end early."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thumb_pipeline.imaging.formats.formats import HEAD_N_BYTES, SUPPORTED, ends_early, identify
from thumb_pipeline_tests.imaging.pictures import saved, scene

pytestmark = pytest.mark.quick


@given(st.binary(max_size=HEAD_N_BYTES))
def test_any_bytes_have_a_format_or_none(head: bytes) -> None:
    assert identify(head) is None or isinstance(identify(head), str)


@given(st.binary(max_size=200), st.sampled_from(SUPPORTED))
def test_any_bytes_end_early_or_not(data: bytes, format_name: str) -> None:
    assert ends_early(io.BytesIO(data), format_name) in (True, False)


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF", "JPEG2000", "TIFF"])
def test_a_container_knows_that_its_end_is_missing(format_name: str) -> None:
    data = saved(scene(), format_name)
    assert not ends_early(io.BytesIO(data), format_name)
    assert ends_early(io.BytesIO(data[: len(data) // 2]), format_name)


def test_bytes_that_a_camera_appends_do_not_make_a_jpeg_end_early() -> None:
    assert not ends_early(io.BytesIO(saved(scene()) + bytes(5000)), "JPEG")


@pytest.mark.parametrize(
    ("brands", "expected"),
    [
        (b"avif\0\0\0\0mif1", "AVIF"),
        (b"mif1\0\0\0\0mif1avif", "AVIF"),
        (b"mif1\0\0\0\0mif1heic", "HEIF"),
        (b"heic\0\0\0\0mif1heic", "HEIF"),
        (b"crx \0\0\0\0crx isom", "camera RAW (CR3)"),
        (b"isom\0\0\0\0isomiso2", "video (ISO media)"),
    ],
)
def test_iso_media_is_told_apart_by_its_brands(brands: bytes, expected: str) -> None:
    head = (8 + len(brands)).to_bytes(4, "big") + b"ftyp" + brands
    assert identify(head) == expected
