"""Vector instructions give what Pillow gives, or are not used."""

import sys

import pytest
from PIL import Image

from thumb_pipeline.imaging import simd
from thumb_pipeline.imaging.simd import is_exact_enough, simd_resampler
from thumb_pipeline.imaging.steps import shrink as shrink_module
from thumb_pipeline.imaging.steps import shrink_on_load as shrink_on_load_module
from thumb_pipeline_tests.imaging.pictures import difference, rendered, saved, scene, spec, textured
from thumb_pipeline_tests.imaging.similarity import similarity

pytestmark = pytest.mark.quick

needs_wheel = pytest.mark.skipif(simd_resampler() is None, reason="the wheel exists for Linux on x86-64 only")

REGION = (0.0, 0.0, 639.5, 479.5)


@needs_wheel
@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("size", [(640, 480), (480, 360), (213, 160), (80, 61), (700, 600)])
def test_it_is_what_pillow_makes_up_to_rounding(mode: str, size: tuple[int, int]) -> None:
    resample = simd_resampler()
    assert resample is not None
    picture = textured().convert(mode)
    pillows = picture.resize(size, Image.Resampling.LANCZOS, box=REGION)
    assert difference(resample(picture, size, REGION), pillows) < 0.75


@needs_wheel
def test_a_picture_of_several_blocks_of_memory_is_read_whole() -> None:
    resample = simd_resampler()
    assert resample is not None
    picture = scene((6000, 4000))
    region = (0.0, 0.0, 6000.0, 4000.0)
    assert difference(resample(picture, (1500, 1000), region), picture.resize((1500, 1000))) < 0.75


def test_what_it_does_inexactly_is_left_to_pillow() -> None:
    assert is_exact_enough("RGB", (80, 60), REGION)
    assert not is_exact_enough("RGB", (60, 60), REGION)
    assert not is_exact_enough("RGB", (1, 1), REGION)
    assert not is_exact_enough("RGBA", (320, 240), REGION)


def test_without_its_wheel_pillow_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cykooz_resizer", None)
    assert simd.simd_resampler.__wrapped__() is None


@needs_wheel
def test_it_is_not_used_when_it_disagrees_with_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simd, "_MOST_DEVIATION", -1.0)
    assert simd.simd_resampler.__wrapped__() is None


@needs_wheel
def test_both_ways_look_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(textured((1280, 960)), quality=92)
    with_wheel = rendered(data, spec(800, 600), spec(200, 150))
    monkeypatch.setattr(shrink_module, "simd_resampler", lambda: None)
    monkeypatch.setattr(shrink_on_load_module, "simd_resampler", lambda: None)
    without = rendered(data, spec(800, 600), spec(200, 150))
    for one, other in zip(with_wheel, without, strict=True):
        assert similarity(one, other) > 0.98
