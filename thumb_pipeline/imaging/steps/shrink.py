"""Step: resample the picture to its size, if possible in one pass with Lanczos."""

from PIL import Image

from thumb_pipeline.domain.geometry import Size
from thumb_pipeline.imaging.simd import is_exact_enough, simd_resampler
from thumb_pipeline.imaging.steps.tasks import ShrinkTask, as_upright, whole


def shrink(picture: Image.Image, task: ShrinkTask) -> Image.Image:
    """The task's region of the picture at the task's size, in the picture's own orientation.

    Pillow premultiplies alpha before it resamples, so that the colour of transparent pixels does not bleed.
    """
    size = as_upright(task.size, task.orientation)
    if picture.size == size and task.region == whole(size):
        return picture
    resample = simd_resampler() if is_exact_enough(picture.mode, size, task.region) else None
    if resample is not None:
        return resample(picture, size, task.region)
    if picture.mode == "YCbCr":
        return _shrink_by_planes(picture, size, task)
    return picture.resize(size, Image.Resampling.LANCZOS, box=task.region, reducing_gap=task.reducing_gap)


def _shrink_by_planes(picture: Image.Image, size: Size, task: ShrinkTask) -> Image.Image:
    """Resamples the luma with Lanczos, and the colours with an area average at half the size.

    The JPEG stores its colours at half the size anyway, so no detail of the result is lost. It takes two thirds of the
    time of Lanczos on three planes.
    """
    luma, *colours = picture.split()
    half = ((size[0] + 1) // 2, (size[1] + 1) // 2)
    planes = [luma.resize(size, Image.Resampling.LANCZOS, box=task.region, reducing_gap=task.reducing_gap)]
    for colour in colours:
        averaged = colour.resize(half, Image.Resampling.BOX, box=task.region)
        planes.append(averaged.resize(size, Image.Resampling.NEAREST))
    return Image.merge("YCbCr", planes)
