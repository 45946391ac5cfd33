"""Step: the caller decides when the pixels may be held."""

import io

import pytest

from thumb_pipeline.imaging.render import render
from thumb_pipeline_tests.imaging.pictures import ORIGIN, saved, scene, spec

pytestmark = pytest.mark.quick


def asked_with(data: bytes) -> list[int]:
    asked: list[int] = []
    render(io.BytesIO(data), [spec(80, 60)], origin=ORIGIN, admit=asked.append)
    return asked


def test_it_asks_once_with_the_pixels_that_decoding_holds() -> None:
    assert asked_with(saved(scene((640, 480)), "PNG")) == [640 * 480]


def test_a_jpeg_that_is_shrunk_while_it_loads_asks_for_what_is_left() -> None:
    assert asked_with(saved(scene((640, 480)))) == [80 * 60]


def test_a_progressive_jpeg_asks_for_all_its_coefficients() -> None:
    assert asked_with(saved(scene((640, 480)), progressive=True)) == [640 * 480]


def test_what_is_refused_by_its_header_does_not_ask() -> None:
    assert asked_with(saved(scene(), "PNG")[:40]) == []
