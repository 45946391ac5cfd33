"""Step: centre the picture on a canvas of the variant's background, where the fit asks for one."""

from PIL import Image

from thumb_pipeline.imaging.steps.tasks import FinishTask


def pad(picture: Image.Image, task: FinishTask) -> Image.Image:
    """The picture on its canvas; the canvas is opaque, a picture that kept its alpha keeps it there too."""
    width, height = task.framing.canvas
    if picture.size == (width, height):
        return picture
    mode = "RGBA" if picture.mode == "RGBA" else "RGB"
    picture = picture if picture.mode == mode else picture.convert(mode)
    background = (*task.spec.background, 255) if mode == "RGBA" else task.spec.background
    canvas = Image.new(mode, (width, height), background)
    canvas.paste(picture, ((width - picture.width) // 2, (height - picture.height) // 2))
    return canvas
