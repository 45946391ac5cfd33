"""Step: the format by content."""

import io

import pytest

from thumb_pipeline.domain.failures import FailureReason
from thumb_pipeline.imaging.refusals import Refused
from thumb_pipeline.imaging.steps.identify import identify_format
from thumb_pipeline_tests.imaging.pictures import saved, scene, source_of

pytestmark = pytest.mark.quick


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000"])
def test_every_supported_format_is_known_by_its_content(format_name: str) -> None:
    source = source_of(saved(scene(), format_name))
    identify_format(source)
    assert source.format == format_name


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", FailureReason.NOT_AN_IMAGE),
        (b"\n", FailureReason.NOT_AN_IMAGE),
        (b"no picture at all, only words", FailureReason.NOT_AN_IMAGE),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", FailureReason.UNSUPPORTED),
        (b"RIFF\x24\0\0\0WAVEfmt ", FailureReason.NOT_AN_IMAGE),
        (b"\xff\x0a", FailureReason.UNSUPPORTED),
        (b'<?xml version="1.0"?><svg/>', FailureReason.UNSUPPORTED),
    ],
)
def test_what_is_not_on_the_list_is_refused_with_its_reason(data: bytes, reason: FailureReason) -> None:
    with pytest.raises(Refused) as refusal:
        identify_format(source_of(data))
    assert refusal.value.failure.reason is reason


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"%PDF-1.7\n", "PDF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIF"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIF"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "AVIF"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "camera RAW (CR3)"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isomavc1", "video (ISO media)"),
        (b"RIFF\x24\0\0\0AVI LIST", "video (AVI)"),
        ((b"G" + bytes(187)) * 6, "video (MPEG-TS)"),
        ((bytes(4) + b"G" + bytes(187)) * 6, "video (MPEG-TS)"),
        (b"\0\0\2\0\1\0\x20\x20", "CUR"),
        (b"\0\0\2" + bytes(9) + b"\x10\0\x10\0\x18\0", "TGA"),
    ],
)
def test_formats_of_other_decoders_are_known_by_their_content(data: bytes, name: str) -> None:
    source = source_of(data)
    identify_format(source)
    assert source.format == name


def test_a_stream_that_was_read_before_is_judged_from_its_start() -> None:
    source = source_of(saved(scene(), "PNG"))
    source.stream.seek(0, io.SEEK_END)
    identify_format(source)
    assert source.format == "PNG"
