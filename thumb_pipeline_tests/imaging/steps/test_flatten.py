"""Step: alpha onto the background."""

import pytest
from PIL import Image

from thumb_pipeline.domain.geometry import framing
from thumb_pipeline.domain.variants import Fit, OutputFormat
from thumb_pipeline.imaging.steps.flatten import flatten
from thumb_pipeline.imaging.steps.tasks import FinishTask
from thumb_pipeline_tests.imaging.pictures import scene, spec

pytestmark = pytest.mark.quick


def task(output_format: OutputFormat, fit: Fit = Fit.CONTAIN) -> FinishTask:
    wanted = spec(format=output_format, fit=fit, background=(10, 20, 30))
    return FinishTask(spec=wanted, framing=framing((4, 4), wanted))


def test_jpeg_shows_the_background_through_transparent_pixels() -> None:
    found = flatten(Image.new("RGBA", (4, 4), (255, 0, 0, 0)), task(OutputFormat.JPEG))
    assert (found.mode, found.getpixel((0, 0))) == ("RGB", (10, 20, 30))


def test_half_transparent_pixels_are_mixed() -> None:
    found = flatten(Image.new("RGBA", (4, 4), (210, 220, 230, 128)), task(OutputFormat.JPEG))
    assert found.getpixel((0, 0)) == pytest.approx((110, 120, 130), abs=1)


@pytest.mark.parametrize("output_format", [OutputFormat.PNG, OutputFormat.WEBP, OutputFormat.AVIF])
def test_formats_with_alpha_keep_it(output_format: OutputFormat) -> None:
    picture = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert flatten(picture, task(output_format)) is picture


def test_a_padded_variant_shows_its_background_through_the_picture_in_any_format() -> None:
    found = flatten(Image.new("RGBA", (4, 4), (255, 0, 0, 0)), task(OutputFormat.PNG, Fit.PAD))
    assert (found.mode, found.getpixel((0, 0))) == ("RGB", (10, 20, 30))


def test_opaque_pictures_are_not_copied() -> None:
    picture = scene()
    assert flatten(picture, task(OutputFormat.JPEG)) is picture
