"""Step: turn the picture upright.

`ImageOps.exif_transpose` is not used: it also rewrites the EXIF block, and fails on blocks that browsers read.
"""

from PIL import Image

from thumb_pipeline.imaging.steps.tasks import ShrinkTask

_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def orient(picture: Image.Image, task: ShrinkTask) -> Image.Image:
    """The upright picture; with orientation 1 it is returned as it is."""
    transpose = _TRANSPOSES.get(task.orientation)
    return picture if transpose is None else picture.transpose(transpose)
