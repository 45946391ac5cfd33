"""Step: decode the pixels; of an animation or a document the first, of a video the chosen frame."""

from thumb_pipeline.imaging.foreign import ForeignFile
from thumb_pipeline.imaging.refusals import decoding
from thumb_pipeline.imaging.steps.tasks import Source, whole


def decode(source: Source) -> None:
    """Sets `pixels`. A file that ends early is refused here: half a picture is not a picture."""
    announced = source.header.size
    with decoding(source.stream, source.format):
        source.header.load()
    source.pixels = source.header
    if source.pixels.size != announced:
        if not (isinstance(source.header, ForeignFile) and source.header.shrinks_on_load):
            source.stored_size = source.pixels.size
        source.region = whole(source.pixels.size)
