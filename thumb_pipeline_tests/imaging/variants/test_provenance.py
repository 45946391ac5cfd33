"""The note inside a variant's file: written, sealed, read back, and no longer believed once a byte has changed."""

import io
import warnings
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from thumb_pipeline.domain.provenance import EMPTY_CHECKSUM, Provenance
from thumb_pipeline.domain.variants import OutputFormat
from thumb_pipeline.imaging.steps.encode import encode
from thumb_pipeline.imaging.variants.provenance import checksum_holds, read_provenance, seal
from thumb_pipeline_tests.imaging.pictures import saved, scene, spec

pytestmark = pytest.mark.quick

NOTE = Provenance(
    source_digest="0123456789abcdef" * 2,
    source_n_bytes=2_345_678,
    source_mtime_ns=1_745_332_222_123_456_789,
    source_name_digest="fedcba9876543210" * 2,
    source_width_px=1920,
    source_height_px=1080,
    spec_fingerprint="00112233aabbccdd",
    render_revision=1,
    version='1.0 <&"\\> beta',
)


def variant(output_format: OutputFormat, note: Provenance = NOTE) -> bytes:
    return seal(encode(scene((64, 48)), spec(format=output_format), note.to_text()))[0]


VARIANTS = {output_format: variant(output_format) for output_format in OutputFormat}


@pytest.mark.parametrize("output_format", OutputFormat)
def test_the_note_comes_back_as_it_went_in_but_for_its_checksum(output_format: OutputFormat) -> None:
    found = read_provenance(VARIANTS[output_format])
    assert found is not None
    assert found.checksum != EMPTY_CHECKSUM
    assert Provenance(**{**_fields(found), "checksum": EMPTY_CHECKSUM}) == NOTE


def _fields(note: Provenance) -> dict[str, object]:
    return {name: getattr(note, name) for name in Provenance.__slots__}


@pytest.mark.parametrize("output_format", OutputFormat)
def test_a_sealed_file_opens_without_a_warning(output_format: OutputFormat) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Image.open(io.BytesIO(VARIANTS[output_format])) as picture:
            picture.load()
            assert picture.size == (64, 48)


@pytest.mark.parametrize("output_format", OutputFormat)
def test_the_checksum_holds_for_the_file_as_sealed(output_format: OutputFormat) -> None:
    data = VARIANTS[output_format]
    note = read_provenance(data)
    assert note is not None
    assert checksum_holds(data, note)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(OutputFormat), st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_any_changed_byte_breaks_the_seal(output_format: OutputFormat, at: int, change: int) -> None:
    data = bytearray(VARIANTS[output_format])
    data[at % len(data)] ^= change
    note = read_provenance(bytes(data))
    assert note is None or not checksum_holds(bytes(data), note)


@pytest.mark.parametrize("output_format", OutputFormat)
def test_any_prefix_breaks_the_seal(output_format: OutputFormat) -> None:
    data = VARIANTS[output_format]
    for length in range(0, len(data), 7):
        note = read_provenance(data[:length])
        assert note is None or not checksum_holds(data[:length], note)


@pytest.mark.parametrize("output_format", OutputFormat)
def test_appended_bytes_break_the_seal(output_format: OutputFormat) -> None:
    data = VARIANTS[output_format] + b"\0"
    note = read_provenance(data)
    assert note is None or not checksum_holds(data, note)


def test_every_chunk_of_a_sealed_png_has_its_right_crc() -> None:
    data = VARIANTS[OutputFormat.PNG]
    at = 8
    while at < len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        assert zlib.crc32(data[at + 4 : end]) == int.from_bytes(data[end : end + 4], "big")
        at = end + 4
    assert at == len(data)


def test_the_comment_of_a_jpeg_follows_its_jfif_header() -> None:
    data = VARIANTS[OutputFormat.JPEG]
    assert data[:4] == b"\xff\xd8\xff\xe0"
    behind = 4 + int.from_bytes(data[4:6], "big")
    assert data[behind : behind + 2] == b"\xff\xfe"


@pytest.mark.parametrize("output_format", [OutputFormat.WEBP, OutputFormat.AVIF])
def test_the_xmp_packet_is_xml(output_format: OutputFormat) -> None:
    from xml.etree import ElementTree as ET

    with Image.open(io.BytesIO(VARIANTS[output_format])) as picture:
        packet = ET.fromstring(picture.info["xmp"])
    (text,) = [element.text for element in packet.iter() if element.text and element.text.strip()]
    note = Provenance.from_text(text)
    assert note is not None
    assert note.version == NOTE.version


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xd8",
        b"\xff\xd8\xff\xfe\0\0",
        b"\xff\xd8\xff\xfe\xff\xffthumb_pipeline:1:{}",
        b"\x89PNG\r\n\x1a\n\xff\xff\xff\xfftEXt",
        b"RIFF\0\0\0\0WEBPXMP \xff\xff\xff\xff",
        b"\0\0\0\x18ftypavif>thumb_pipeline:1:",
        saved(scene(), comment=b"taken by Jane"),
        saved(scene(), "PNG"),
        saved(scene(), "GIF"),
    ],
)
def test_files_without_a_note_have_no_provenance(data: bytes) -> None:
    assert read_provenance(data) is None
    assert not checksum_holds(data, NOTE)


def test_only_an_unsealed_file_can_be_sealed() -> None:
    with pytest.raises(ValueError, match="unsealed"):
        seal(VARIANTS[OutputFormat.JPEG])
    with pytest.raises(ValueError, match="unsealed"):
        seal(saved(scene()))
