"""Step: centre the picture on a canvas of the variant's background, where the fit asks for one."""

from PIL import Image

from thumb_pipeline.imaging.steps.tasks import FinishTask


def pad(picture: Image.Image, task: FinishTask) -> Image.Image:
    """The picture on its canvas; `flatten` has removed its alpha before."""
    width, height = task.framing.canvas
    if picture.size == (width, height):
        return picture
    canvas = Image.new("RGB", (width, height), task.spec.background)
    centred = ((width - picture.width) // 2, (height - picture.height) // 2)
    canvas.paste(picture.convert("RGB"), centred)
    return canvas
