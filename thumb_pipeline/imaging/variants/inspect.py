"""Inspects a finished variant: its format and size, the provenance it carries, and whether it is whole.

The opposite of `render`, on files that may have been replaced or damaged. What follows from an inspection (valid,
corrupt, to be adopted) is decided in `domain.plans`.
"""

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass

from PIL import ImageFile

from thumb_pipeline.domain.failures import Failure, FailureReason
from thumb_pipeline.domain.provenance import LARGEST_SIDE_PX, Provenance
from thumb_pipeline.domain.variants import OutputFormat
from thumb_pipeline.imaging.formats.formats import HEAD_N_BYTES, SUPPORTED, identify
from thumb_pipeline.imaging.refusals import Refused, decoding
from thumb_pipeline.imaging.sources.decoders import open_header
from thumb_pipeline.imaging.variants.provenance import bears_our_mark, checksum_holds, read_provenance

_OUTPUT_FORMATS = {output_format.upper(): output_format for output_format in OutputFormat}

_CHECKSUM_FAILS = "its bytes do not match its checksum"
_NO_NOTE = "its note begins like ours, but this program never wrote it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What a variant's file is.

    Attributes:
        format: its format; plain text if variants are never made in it.
        width_px: its width.
        height_px: its height.
        provenance: the note it carries, if it is one of ours.
        is_whole: whether its checksum holds; for a file without provenance, whether it was decoded to its end. A file
            with an unreadable note that begins like ours is never whole: it is a damaged variant, or a forged one.
        is_foreign: nothing in it begins like a note of ours.
        fault: why it is not whole; empty if it is.
    """

    format: OutputFormat | str
    width_px: int
    height_px: int
    provenance: Provenance | None
    is_whole: bool
    is_foreign: bool = False
    fault: str = ""


def inspect(data: bytes, *, decode: bool = False) -> Inspection | Failure:
    """Reads a variant's header, provenance and checksum.

    Args:
        data: all bytes of the file.
        decode: whether to decode a file without provenance, to know if it is whole.

    Returns:
        The inspection, or a failure if the file cannot be opened at all.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a foreign file may have metadata that Pillow warns about
        try:
            return _inspected(data, decode=decode)
        except Refused as refusal:
            return refusal.failure


def inspect_to_the_end(
    data: bytes, *, max_pixels: int, admit: Callable[[int], None] | None = None
) -> Inspection | Failure:
    """The same, and decodes the file to its end, unless its checksum or its note is wrong already.

    Args:
        data: all bytes of the file.
        max_pixels: most pixels that may be decoded; a larger picture is a failure.
        admit: called with the number of pixels before they are decoded; may wait.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            name, header = _open_variant(data)
            if header.width * header.height > max_pixels:
                return Failure(reason=FailureReason.TOO_LARGE, detail=f"{header.width}x{header.height} pixels")
            return _described(data, name, header, lambda note: _fault(data, name, header, note, admit))
        except Refused as refusal:
            return refusal.failure


def _inspected(data: bytes, *, decode: bool) -> Inspection:
    name, header = _open_variant(data)

    def fault(note: Provenance | None) -> str:
        if note is not None:
            return "" if checksum_holds(data, note) else _CHECKSUM_FAILS
        return _decoding_fault(data, name, header) if decode else "it was not decoded"

    return _described(data, name, header, fault)


def _open_variant(data: bytes) -> tuple[str, ImageFile.ImageFile]:
    name = identify(data[:HEAD_N_BYTES])
    if name is None or name not in SUPPORTED:
        reason = FailureReason.NOT_AN_IMAGE if name is None else FailureReason.UNSUPPORTED
        raise Refused(reason, "no known picture format" if name is None else f"{name} is not a format of variants")
    stream = io.BytesIO(data)
    with decoding(stream, name):
        header = open_header(stream, name)
    if max(header.size) > LARGEST_SIDE_PX:
        raise Refused(FailureReason.TOO_LARGE, f"its header says {header.width}x{header.height} pixels")
    return name, header


def _described(
    data: bytes, name: str, header: ImageFile.ImageFile, fault_of: Callable[[Provenance | None], str]
) -> Inspection:
    width, height = header.size  # before decoding: it may be at a smaller scale
    provenance = read_provenance(data)
    is_foreign = provenance is None and not bears_our_mark(data)
    fault = fault_of(provenance) if provenance is not None or is_foreign else _NO_NOTE
    return Inspection(
        format=_OUTPUT_FORMATS.get(name, name),
        width_px=width,
        height_px=height,
        provenance=provenance,
        is_whole=not fault,
        is_foreign=is_foreign,
        fault=fault,
    )


def _fault(
    data: bytes,
    name: str,
    header: ImageFile.ImageFile,
    note: Provenance | None,
    admit: Callable[[int], None] | None,
) -> str:
    if note is not None and not checksum_holds(data, note):
        return _CHECKSUM_FAILS
    if admit is not None:
        admit(header.width * header.height)
    return _decoding_fault(data, name, header)


def _decoding_fault(data: bytes, name: str, header: ImageFile.ImageFile) -> str:
    """The decoder's complaint; empty if it decodes the file to its end.

    A JPEG is decoded as gray at an eighth of its size. Every coded bit is still read: what follows the entropy decoder
    is arithmetic that cannot fail, and takes most of the time.
    """
    try:
        with decoding(io.BytesIO(data), name):
            if name == "JPEG":
                header.draft("L", (max(1, header.width // 8), max(1, header.height // 8)))
            header.load()
    except Refused as refusal:
        return f"it does not decode to its end ({refusal.failure.detail})"
    return ""
