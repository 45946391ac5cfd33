"""Step: count the pixels that decoding will hold, by the header; refuse a source that needs too much memory or time."""

from thumb_pipeline.domain.failures import FailureReason
from thumb_pipeline.imaging.refusals import Refused, decoding
from thumb_pipeline.imaging.sources.foreign import ForeignFile
from thumb_pipeline.imaging.steps.tasks import Source


def refuse_too_large(source: Source) -> None:
    """Sets `n_pixels`; raises `Refused` if the source exceeds a limit on pixels.

    Needs the decoder's scale, so it runs after `shrink_on_load`.
    """
    stored = source.stored_size[0] * source.stored_size[1]
    with decoding(source.stream, source.format):
        buffers_all = _buffers_all(source)
    decoded = stored if buffers_all else source.header.width * source.header.height
    source.n_pixels = decoded
    limit = source.limits.max_pixels if decoded > source.limits.max_pixels else source.limits.max_source_pixels
    if decoded > source.limits.max_pixels or stored > source.limits.max_source_pixels:
        size = f"{source.stored_size[0]}x{source.stored_size[1]}"
        raise Refused(FailureReason.TOO_LARGE, f"{size} pixels pass the limit of {limit} pixels")


def _buffers_all(source: Source) -> bool:
    """Whether the decoder holds the whole source in memory, so that shrinking on load saves no memory.

    libjpeg does so for progressive files, and for files with a separate scan for each component. The latter show in the
    header of the first scan, which ends where Pillow stopped reading the file's header.
    """
    if isinstance(source.header, ForeignFile):
        return not source.header.shrinks_on_load
    if source.format not in ("JPEG", "MPO") or source.header.info.get("progressive"):
        return True
    n_components = len(source.header.getbands())
    length = 6 + 2 * n_components
    source.stream.seek(max(0, source.stream.tell() - length))
    return source.stream.read(3) != bytes((0, length, n_components))
