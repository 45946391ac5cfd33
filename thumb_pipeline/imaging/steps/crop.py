"""Step: keep the part of the scaled picture that the variant's fit and gravity ask for."""

from PIL import Image

from thumb_pipeline.imaging.steps.tasks import FinishTask


def crop(picture: Image.Image, task: FinishTask) -> Image.Image:
    """The cropped picture; a picture that is kept whole is returned as it is."""
    return picture if task.framing.crop == (0, 0, *picture.size) else picture.crop(task.framing.crop)
