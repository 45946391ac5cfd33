"""Step: decode the pixels, of an animation those of its first frame."""

from thumb_pipeline.imaging.refusals import decoding
from thumb_pipeline.imaging.steps.tasks import Source, whole


def decode(source: Source) -> None:
    """Sets `pixels`. A file that ends early is refused here: half a picture is not a picture."""
    announced = source.header.size
    with decoding(source.stream, source.format):
        source.header.load()
    source.pixels = source.header
    if source.pixels.size != announced:
        source.stored_size = source.pixels.size
        source.region = whole(source.pixels.size)
