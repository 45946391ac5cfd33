"""Step: forget everything the source said beside its pixels.

Encoders write what they find in `info`: GPS positions, serial numbers, profiles that no longer fit the colours.
"""

from PIL import Image, ImageFile

from thumb_pipeline.imaging.steps.tasks import FinishTask


def strip_metadata(picture: Image.Image, task: FinishTask) -> Image.Image:  # noqa: ARG001 - every step takes a task
    """The same pixels without metadata; a picture nothing was done to is copied out of its file."""
    bare = picture.copy() if isinstance(picture, ImageFile.ImageFile) else picture
    bare.info = {}
    return bare
