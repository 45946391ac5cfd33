"""Looking at finished files."""

import pytest

from thumb_pipeline.domain.failures import Failure, FailureReason
from thumb_pipeline.domain.variants import OutputFormat
from thumb_pipeline.imaging.steps.encode import encode
from thumb_pipeline.imaging.variants.inspect import Inspection, inspect
from thumb_pipeline.imaging.variants.provenance import seal
from thumb_pipeline_tests.imaging.pictures import saved, scene, spec, textured
from thumb_pipeline_tests.imaging.variants.test_provenance import NOTE

pytestmark = pytest.mark.quick


def must_inspect(data: bytes, *, decode: bool = False) -> Inspection:
    found = inspect(data, decode=decode)
    assert isinstance(found, Inspection), found
    return found


@pytest.mark.parametrize("output_format", OutputFormat)
def test_a_variant_of_ours_is_whole_by_its_checksum(output_format: OutputFormat) -> None:
    data, checksum = seal(encode(scene((64, 48)), spec(format=output_format), NOTE.to_text()))
    found = must_inspect(data)
    assert (found.format, found.width_px, found.height_px, found.is_whole) == (output_format, 64, 48, True)
    assert found.provenance is not None
    assert found.provenance.checksum == checksum


def test_half_a_variant_still_shows_its_note_and_is_not_whole() -> None:
    data, _ = seal(encode(textured(), spec(), NOTE.to_text()))
    found = must_inspect(data[: len(data) // 2])
    assert found.provenance is not None
    assert not found.is_whole


def test_a_variant_of_another_program_is_whole_only_if_it_was_decoded() -> None:
    data = saved(textured())
    assert not must_inspect(data).is_whole
    assert must_inspect(data, decode=True).is_whole
    assert not must_inspect(data[: len(data) // 2], decode=True).is_whole


def test_a_format_that_variants_cannot_have_is_named() -> None:
    assert must_inspect(saved(scene(), "GIF")).format == "GIF"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", FailureReason.NOT_AN_IMAGE),
        (b"words", FailureReason.NOT_AN_IMAGE),
        (b"%PDF-1.7", FailureReason.UNSUPPORTED),
        (saved(scene())[:20], FailureReason.TRUNCATED),
    ],
)
def test_what_cannot_be_opened_is_a_failure_with_its_reason(data: bytes, reason: FailureReason) -> None:
    found = inspect(data)
    assert isinstance(found, Failure)
    assert found.reason is reason
