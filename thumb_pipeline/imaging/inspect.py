"""Looks at a finished variant: what it is, where it says it came from, and whether it is whole.

The opposite direction of `render`, on files that may be anything by now. What follows from an inspection (valid,
corrupt, to be adopted) is decided in the planning of `domain`.
"""

import io
import warnings
from dataclasses import dataclass

from thumb_pipeline.domain.failures import Failure, FailureReason
from thumb_pipeline.domain.provenance import Provenance
from thumb_pipeline.domain.variants import OutputFormat
from thumb_pipeline.imaging.decoders import open_header
from thumb_pipeline.imaging.formats import HEAD_N_BYTES, SUPPORTED, identify
from thumb_pipeline.imaging.provenance import checksum_holds, read_provenance
from thumb_pipeline.imaging.refusals import Refused, decoding

_OUTPUT_FORMATS = {output_format.upper(): output_format for output_format in OutputFormat}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What a variant's file is.

    Attributes:
        format: its format, as text where variants cannot have it.
        width_px: its width.
        height_px: its height.
        provenance: the note it carries, if it is one of ours.
        is_whole: its checksum holds; of a file without provenance, whether it was decoded to its end.
    """

    format: OutputFormat | str
    width_px: int
    height_px: int
    provenance: Provenance | None
    is_whole: bool


def inspect(data: bytes, *, decode: bool = False) -> Inspection | Failure:
    """Reads a variant's header, provenance and checksum.

    Args:
        data: all bytes of the file.
        decode: whether to decode a file without provenance, to know if it is whole.

    Returns:
        The inspection, or why the file cannot be opened at all.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a variant of somebody else may have metadata that Pillow warns about
        try:
            return _inspected(data, decode=decode)
        except Refused as refusal:
            return refusal.failure


def _inspected(data: bytes, *, decode: bool) -> Inspection:
    name = identify(data[:HEAD_N_BYTES])
    if name not in SUPPORTED:
        reason = FailureReason.NOT_AN_IMAGE if name is None else FailureReason.UNSUPPORTED
        raise Refused(reason, f"a variant cannot be {name or 'this'}")
    stream = io.BytesIO(data)
    with decoding(stream, name):
        header = open_header(stream, name)
    width, height = header.size
    provenance = read_provenance(data)
    is_whole = checksum_holds(data, provenance) if provenance is not None else False
    if provenance is None and decode:
        is_whole = _decodes(data, name)
    return Inspection(
        format=_OUTPUT_FORMATS.get(name, name),
        width_px=width,
        height_px=height,
        provenance=provenance,
        is_whole=is_whole,
    )


def _decodes(data: bytes, name: str) -> bool:
    stream = io.BytesIO(data)
    try:
        with decoding(stream, name):
            open_header(stream, name).load()
    except Refused:
        return False
    return True
