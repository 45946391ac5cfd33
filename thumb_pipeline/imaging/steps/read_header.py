"""Step: open the source with the decoder of its format, without decoding pixels."""

from thumb_pipeline.imaging.refusals import decoding
from thumb_pipeline.imaging.sources.by_format import open_source
from thumb_pipeline.imaging.steps.tasks import Source


def read_header(source: Source) -> None:
    """Sets `header` and `stored_size`; sets `format` to MPO for a JPEG file with several pictures."""
    with decoding(source.stream, source.format):
        source.header = open_source(source.stream, source.format, source.frame_at)
    source.format = source.header.format or source.format
    source.stored_size = source.header.size
