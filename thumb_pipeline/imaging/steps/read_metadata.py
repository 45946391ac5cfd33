"""Step: read from the metadata what rendering needs (orientation, capture time, ICC profile), and nothing else."""

from thumb_pipeline.imaging.refusals import decoding
from thumb_pipeline.imaging.sources.exif import read_exif
from thumb_pipeline.imaging.steps.tasks import Source


def read_metadata(source: Source) -> None:
    """Sets `exif` and `profile`.

    Runs before decoding, because a JPEG's orientation decides how far it may be shrunk on load, and again after
    decoding, because a PNG may have its EXIF behind the pixels.
    """
    with decoding(source.stream, source.format):
        source.exif = read_exif(source.header, source.stream)
    profile = source.header.info.get("icc_profile")
    source.profile = profile if isinstance(profile, bytes) and profile else None
