"""Files that may be anything: what is told of a note or a header fits the tables, or the file is refused."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thumb_pipeline.domain.failures import Failure
from thumb_pipeline.domain.provenance import LARGEST_SIDE_PX
from thumb_pipeline.domain.variants import OutputFormat
from thumb_pipeline.imaging.render import render
from thumb_pipeline.imaging.results import Rendering
from thumb_pipeline.imaging.variants.inspect import Inspection, inspect, inspect_to_the_end
from thumb_pipeline.imaging.variants.provenance import checksum_holds, read_provenance
from thumb_pipeline_tests.domain.notes import HOSTILE
from thumb_pipeline_tests.imaging.hostile import bmp_of_size, jpeg_of_size, png_of_size, sealed, tiff_of_size
from thumb_pipeline_tests.imaging.pictures import ORIGIN, saved, scene, spec
from thumb_pipeline_tests.mutations import EDITS, Edit, mutated

pytestmark = pytest.mark.quick

VARIANTS = {output_format: sealed(output_format) for output_format in OutputFormat}
OTHERS = [saved(scene(), name) for name in ("TIFF", "GIF", "BMP", "ICO", "PPM", "TGA", "JPEG2000")]
SIDES = [0, 1, 65_535, 2**31 - 1, 2**31, 2**32 - 1]


def fits(found: Inspection | Failure) -> bool:
    """Whether all that is told of a file fits the columns it would stand in."""
    if isinstance(found, Failure):
        return is_text(found.detail)
    note = found.provenance
    return (
        1 <= found.width_px <= LARGEST_SIDE_PX
        and 1 <= found.height_px <= LARGEST_SIDE_PX
        and is_text(str(found.format))
        and is_text(found.fault)
        and (note is None or note.to_text().isascii())
    )


def is_text(text: str) -> bool:
    return text.encode("utf-8", "replace").decode() == text


@pytest.mark.parametrize("output_format", OutputFormat)
@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_sealed_file_with_a_note_that_nobody_wrote_has_no_provenance_and_is_not_whole(
    hostile: str, output_format: OutputFormat
) -> None:
    data = sealed(output_format, **HOSTILE[hostile])
    assert read_provenance(data) is None
    for found in (inspect(data), inspect(data, decode=True), inspect_to_the_end(data, max_pixels=10**6)):
        assert isinstance(found, Inspection)
        assert (found.provenance, found.is_whole) == (None, False)
        assert "never wrote" in found.fault


@pytest.mark.parametrize("output_format", OutputFormat)
def test_the_same_file_with_a_note_of_ours_is_whole(output_format: OutputFormat) -> None:
    for found in (inspect(VARIANTS[output_format]), inspect_to_the_end(VARIANTS[output_format], max_pixels=10**6)):
        assert isinstance(found, Inspection)
        assert found.is_whole
        assert found.provenance is not None


@pytest.mark.parametrize("width", SIDES)
@pytest.mark.parametrize("height", [*SIDES, -1, -(2**31)])
def test_a_header_of_any_size_is_told_where_it_fits_the_tables_and_refused_where_not(width: int, height: int) -> None:
    files = [png_of_size(width, height), tiff_of_size(width, height)]
    files += [jpeg_of_size(width, height)] if 0 <= max(width, height) < 2**16 and height >= 0 else []
    files += [bmp_of_size(width, height)] if max(width, height) < 2**31 else []
    for data in files:
        found = inspect(data)
        assert fits(found), found
        assert fits(inspect_to_the_end(data, max_pixels=10**6))
        rendering = render(io.BytesIO(data), [spec()], origin=ORIGIN)
        assert isinstance(rendering, Failure) or rendering.source.width_px <= LARGEST_SIDE_PX


def test_a_width_beyond_the_tables_is_refused_with_it() -> None:
    found = inspect(png_of_size(2**31, 1))
    assert isinstance(found, Failure)
    assert (found.reason, str(2**31) in found.detail) == ("too_large", True)


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(OutputFormat), EDITS, st.sampled_from([*VARIANTS.values(), *OTHERS]))
def test_a_spoiled_variant_is_told_or_refused_and_never_whole(
    output_format: OutputFormat, edits: list[Edit], other: bytes
) -> None:
    data = mutated(VARIANTS[output_format], edits, other)
    note = read_provenance(data)
    found = inspect(data)
    assert fits(found), found
    if data != VARIANTS[output_format]:
        assert note is None or not checksum_holds(data, note)
        assert isinstance(found, Failure) or not found.is_whole
    assert fits(inspect_to_the_end(data, max_pixels=10**6))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(OTHERS), EDITS, st.sampled_from([*VARIANTS.values(), *OTHERS]))
def test_a_spoiled_file_of_another_program_is_told_or_refused(data: bytes, edits: list[Edit], other: bytes) -> None:
    spoiled = mutated(data, edits, other)
    assert fits(inspect(spoiled, decode=len(spoiled) < 10**6))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([*VARIANTS.values(), *OTHERS]), EDITS, st.sampled_from([*VARIANTS.values(), *OTHERS]))
def test_a_spoiled_source_is_rendered_or_refused_and_what_is_told_of_it_fits(
    data: bytes, edits: list[Edit], other: bytes
) -> None:
    rendering = render(io.BytesIO(mutated(data, edits, other)), [spec()], origin=ORIGIN)
    if isinstance(rendering, Failure):
        assert is_text(rendering.detail)
        return
    assert isinstance(rendering, Rendering)
    facts = rendering.source
    assert 1 <= facts.width_px <= LARGEST_SIDE_PX
    assert 1 <= facts.height_px <= LARGEST_SIDE_PX
    assert (facts.format + (facts.exif_captured_at or "") + (facts.thumb_hash or "")).isascii()
