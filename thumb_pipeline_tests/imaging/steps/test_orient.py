"""Step: upright, whatever the camera noted."""

import pytest

from thumb_pipeline.imaging.steps.orient import orient
from thumb_pipeline.imaging.steps.tasks import ShrinkTask
from thumb_pipeline_tests.imaging.pictures import is_scene, lying, scene

pytestmark = pytest.mark.quick


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_ends_upright(orientation: int) -> None:
    task = ShrinkTask(size=(1, 1), region=(0.0, 0.0, 1.0, 1.0), orientation=orientation, profile=None, reducing_gap=2.0)
    found = orient(lying(scene((160, 120)), orientation), task)
    assert found.size == (160, 120)
    assert is_scene(found)
