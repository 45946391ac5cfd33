"""Step: the file of a variant."""

import io

import pytest
from PIL import Image

from thumb_pipeline.domain.variants import OutputFormat
from thumb_pipeline.imaging.steps.encode import encode
from thumb_pipeline_tests.imaging.pictures import is_scene, scene, spec, textured

pytestmark = pytest.mark.quick

NOTE = "a note"


@pytest.mark.parametrize("output_format", OutputFormat)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_every_format_is_written_and_reads_back(output_format: OutputFormat, mode: str) -> None:
    with Image.open(io.BytesIO(encode(scene(mode=mode), spec(format=output_format), NOTE))) as found:
        assert (found.format, found.size) == (output_format.upper(), (160, 120))
        assert mode == "L" or is_scene(found)


@pytest.mark.parametrize("output_format", [OutputFormat.PNG, OutputFormat.WEBP, OutputFormat.AVIF])
def test_alpha_is_written_where_the_format_has_it(output_format: OutputFormat) -> None:
    picture = scene(mode="RGBA")
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    with Image.open(io.BytesIO(encode(picture, spec(format=output_format), NOTE))) as found:
        assert found.mode == "RGBA"


def test_quality_and_progressive_reach_the_file() -> None:
    low = encode(textured(), spec(quality=40), NOTE)
    high = encode(textured(), spec(quality=95), NOTE)
    assert len(low) < len(high)
    with Image.open(io.BytesIO(encode(scene(), spec(progressive=True), NOTE))) as found:
        assert found.info["progressive"] == 1


@pytest.mark.parametrize("quality", [1, 94, 95, 100])
def test_progressive_noise_fits_the_encoder_at_any_quality(quality: int) -> None:
    noise = Image.merge("RGB", [Image.effect_noise((320, 240), 200) for _ in range(3)])
    assert encode(noise, spec(quality=quality, progressive=True), NOTE)
