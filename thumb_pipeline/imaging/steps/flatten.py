"""Step: put transparent pictures on the variant's background, where the variant cannot be transparent.

JPEG has no alpha. A padded variant shows its background around the picture, so the picture shows it too.
"""

from PIL import Image

from thumb_pipeline.domain.variants import Fit, OutputFormat
from thumb_pipeline.imaging.steps.tasks import FinishTask


def flatten(picture: Image.Image, task: FinishTask) -> Image.Image:
    """The picture without alpha for JPEG and padded variants; other variants keep the picture unchanged."""
    keeps_alpha = task.spec.format is not OutputFormat.JPEG and task.spec.fit is not Fit.PAD
    if picture.mode != "RGBA" or keeps_alpha:
        return picture
    flat = Image.new("RGB", picture.size, task.spec.background)
    flat.paste(picture, mask=picture.getchannel("A"))
    return flat
