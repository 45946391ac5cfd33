"""Step: lay transparent pictures on the variant's background, where the output format has no transparency."""

from PIL import Image

from thumb_pipeline.domain.variants import OutputFormat
from thumb_pipeline.imaging.steps.tasks import FinishTask


def flatten(picture: Image.Image, task: FinishTask) -> Image.Image:
    """The picture without alpha for JPEG; unchanged for formats that keep it."""
    if picture.mode != "RGBA" or task.spec.format is not OutputFormat.JPEG:
        return picture
    flat = Image.new("RGB", picture.size, task.spec.background)
    flat.paste(picture, mask=picture.getchannel("A"))
    return flat
