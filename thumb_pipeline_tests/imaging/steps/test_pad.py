"""Step: the canvas around the picture."""

import pytest

from thumb_pipeline.domain.geometry import framing
from thumb_pipeline.domain.variants import Fit, VariantSpec
from thumb_pipeline.imaging.steps.pad import pad
from thumb_pipeline.imaging.steps.tasks import FinishTask
from thumb_pipeline_tests.imaging.pictures import is_scene, scene, spec

pytestmark = pytest.mark.quick

WANTED: VariantSpec = spec(100, 60, fit=Fit.PAD, background=(10, 20, 30))


@pytest.mark.parametrize("mode", ["RGB", "L", "YCbCr"])
def test_the_picture_sits_in_the_middle_of_its_background(mode: str) -> None:
    found = pad(scene((80, 60), mode), FinishTask(spec=WANTED, framing=framing((80, 60), WANTED)))
    assert (found.size, found.mode) == ((100, 60), "RGB")
    assert found.getpixel((0, 0)) == found.getpixel((99, 59)) == (10, 20, 30)
    if mode != "L":
        assert is_scene(found.crop((10, 0, 90, 60)))


def test_a_picture_that_fills_its_canvas_is_not_copied() -> None:
    picture = scene((100, 60))
    assert pad(picture, FinishTask(spec=WANTED, framing=framing((100, 60), WANTED))) is picture
