"""Step: decode the pixels: first frame of an animation, first page of a document, chosen frame of a video."""

from thumb_pipeline.imaging.refusals import decoding
from thumb_pipeline.imaging.sources.foreign import ForeignFile
from thumb_pipeline.imaging.steps.tasks import Source, whole

_READ_N_BYTES = 16 * 1024 * 1024
"""How much Pillow gives a decoder at once. At the end of each piece libjpeg starts its row again: with Pillow's default
of 64 KB that costs 3 % of the time over the corpus' photos."""


def decode(source: Source) -> None:
    """Sets `pixels`; a file that ends early is refused here, because half a picture is not a picture."""
    announced = source.header.size
    source.header.decodermaxblock = _READ_N_BYTES
    with decoding(source.stream, source.format):
        source.header.load()
    source.pixels = source.header
    if source.pixels.size != announced:
        if not (isinstance(source.header, ForeignFile) and source.header.shrinks_on_load):
            source.stored_size = source.pixels.size
        source.region = whole(source.pixels.size)
