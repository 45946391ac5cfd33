"""Step: recognise the source's format by its content, and refuse a format that is not on the allow-list."""

from thumb_pipeline.domain.failures import FailureReason
from thumb_pipeline.imaging.formats.formats import HEAD_N_BYTES, identify
from thumb_pipeline.imaging.refusals import Refused, decoding
from thumb_pipeline.imaging.sources.by_format import can_open
from thumb_pipeline.imaging.sources.raw_signs import is_camera_raw
from thumb_pipeline.imaging.steps.tasks import Source


def identify_format(source: Source) -> None:
    """Sets `format`; raises `Refused` if the source has no format that can be decoded."""
    with decoding(source.stream, ""):
        source.stream.seek(0)
        head = source.stream.read(HEAD_N_BYTES)
        name = identify(head)
        if name == "TIFF" and is_camera_raw(source.stream):
            name = "camera RAW (TIFF)"
    if not head:
        raise Refused(FailureReason.NOT_AN_IMAGE, "the file is empty")
    if name is None:
        raise Refused(FailureReason.NOT_AN_IMAGE, f"no known picture format starts with {head[:8]!r}")
    if not can_open(name):
        raise Refused(FailureReason.UNSUPPORTED, f"{name} is not supported")
    source.format = name
