"""Step: nothing of the source beside its pixels."""

import io

import pytest
from PIL import Image

from thumb_pipeline.domain.geometry import framing
from thumb_pipeline.imaging.steps.strip_metadata import strip_metadata
from thumb_pipeline.imaging.steps.tasks import FinishTask
from thumb_pipeline_tests.imaging.pictures import exif, saved, scene, spec

pytestmark = pytest.mark.quick

TASK = FinishTask(spec=spec(), framing=framing((80, 60), spec()))


def test_a_picture_straight_from_its_file_loses_its_metadata() -> None:
    with Image.open(io.BytesIO(saved(scene(), exif=exif(6), comment=b"Jane Doe", dpi=(72, 72)))) as opened:
        found = strip_metadata(opened, TASK)
        assert (found.info, found.tobytes()) == ({}, opened.tobytes())


def test_a_picture_in_memory_loses_it_without_a_copy() -> None:
    picture = scene()
    picture.info["comment"] = b"Jane Doe"
    assert strip_metadata(picture, TASK) is picture
    assert picture.info == {}
