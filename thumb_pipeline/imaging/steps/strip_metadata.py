"""Step: drop all metadata of the source.

Encoders write what is in `info`: GPS positions, serial numbers, profiles that no longer fit the colours.
"""

from PIL import Image, ImageFile

from thumb_pipeline.imaging.steps.tasks import FinishTask


def strip_metadata(picture: Image.Image, task: FinishTask) -> Image.Image:  # noqa: ARG001 - every step takes a task
    """The same pixels without metadata; a picture that is still the opened file is copied."""
    bare = picture.copy() if isinstance(picture, ImageFile.ImageFile) else picture
    bare.info = {}
    return bare
