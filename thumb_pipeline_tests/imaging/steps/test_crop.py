"""Step: the part that stays."""

import pytest

from thumb_pipeline.domain.geometry import framing
from thumb_pipeline.domain.variants import Fit, Gravity
from thumb_pipeline.imaging.steps.crop import crop
from thumb_pipeline.imaging.steps.tasks import FinishTask
from thumb_pipeline_tests.imaging.pictures import BLUE, RED, scene, spec

pytestmark = pytest.mark.quick


def test_gravity_decides_which_part_stays() -> None:
    wanted = spec(40, 120, fit=Fit.COVER, gravity=Gravity.WEST)
    found = crop(scene((160, 120)), FinishTask(spec=wanted, framing=framing((160, 120), wanted)))
    assert found.size == (40, 120)
    assert (found.getpixel((20, 10)), found.getpixel((20, 110))) == (RED, BLUE)


def test_a_picture_kept_whole_is_not_copied() -> None:
    picture = scene((80, 60))
    assert crop(picture, FinishTask(spec=spec(), framing=framing((80, 60), spec()))) is picture
