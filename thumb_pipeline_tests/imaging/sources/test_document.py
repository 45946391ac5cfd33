"""PDF documents: the first page, as sharp as the largest variant needs."""

import io
import itertools

import pytest

from thumb_pipeline.domain.failures import Failure, FailureReason
from thumb_pipeline.imaging.render import render
from thumb_pipeline.imaging.results import Limits, Rendering
from thumb_pipeline.imaging.sources.document import open_page
from thumb_pipeline_tests.imaging.foreign_files import pdf
from thumb_pipeline_tests.imaging.pictures import ORIGIN, corners, is_scene, rendered, scene, spec

pytestmark = pytest.mark.quick


def test_the_first_page_is_drawn() -> None:
    (picture,) = rendered(pdf(), spec(80, 60))
    assert is_scene(picture)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_turned_page_is_upright_as_its_viewer_shows_it(degrees: int) -> None:
    (picture,) = rendered(pdf(rotate=degrees), spec(80, 80))
    expected = scene((160, 120)).rotate(-degrees, expand=True)
    assert (picture.width > picture.height) == (expected.width > expected.height)
    for found, wanted in zip(corners(picture), corners(expected), strict=True):
        assert found == pytest.approx(wanted, abs=8)


def test_its_size_is_that_of_the_page_in_points() -> None:
    rendering = render(io.BytesIO(pdf((595.3, 841.9))), [spec()], origin=ORIGIN)
    assert isinstance(rendering, Rendering)
    assert (rendering.source.width_px, rendering.source.height_px) == (595, 842)


def test_it_is_drawn_at_the_scale_of_the_need_rather_than_shrunk() -> None:
    page = open_page(io.BytesIO(pdf((1600, 1200))))
    page.draft(None, (80, 60))
    page.load()
    assert page.size == (80, 60)


def test_an_enlarged_variant_is_drawn_sharp() -> None:
    (picture,) = rendered(pdf((40, 30)), spec(400, 300, enlarge=True))
    assert picture.size == (400, 300)
    edge = [picture.convert("L").getpixel((x, 75)) for x in range(190, 210)]
    assert sum(abs(a - b) > 8 for a, b in itertools.pairwise(edge)) <= 4


def test_a_page_as_large_as_a_field_is_drawn_small_or_refused_but_never_whole() -> None:
    data = pdf((14_400, 14_400))
    assert isinstance(render(io.BytesIO(data), [spec()], origin=ORIGIN), Rendering)
    refused = render(io.BytesIO(data), [spec()], origin=ORIGIN, limits=Limits(max_source_pixels=10**8))
    assert isinstance(refused, Failure)
    assert refused.reason is FailureReason.TOO_LARGE


def test_half_a_document_is_answered() -> None:
    data = pdf()
    for length in range(8, len(data), 40):
        answer = render(io.BytesIO(data[:length]), [spec()], origin=ORIGIN)
        assert isinstance(answer, (Rendering, Failure))
