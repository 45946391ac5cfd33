"""Renders one source into all its variants: the lists of steps, and the code that runs them.

A bad picture is returned as a value, never raised as an exception. The steps are in `steps`, which size is made from
which in `chain`, the notes inside files in `variants.provenance`. The caller reads and publishes files, and is
responsible for worker processes, deadlines and memory limits.
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import BinaryIO

from PIL import Image

from thumb_pipeline import __version__
from thumb_pipeline.domain.failures import Failure, FailureReason
from thumb_pipeline.domain.geometry import Framing, Size, framing
from thumb_pipeline.domain.moments import DEFAULT_FRAME_AT, FrameAt
from thumb_pipeline.domain.provenance import Provenance
from thumb_pipeline.domain.variants import MAX_SIDE_PX, RENDER_REVISION, VariantSpec
from thumb_pipeline.imaging.chain import Link, chain
from thumb_pipeline.imaging.refusals import ENCODER_COMPLAINTS, Refused, words
from thumb_pipeline.imaging.results import (
    DEFAULT_LIMITS,
    Limits,
    Origin,
    Picture,
    Rendering,
    SourceFacts,
)
from thumb_pipeline.imaging.sources.by_format import is_video
from thumb_pipeline.imaging.steps.await_room import await_room
from thumb_pipeline.imaging.steps.crop import crop
from thumb_pipeline.imaging.steps.decode import decode
from thumb_pipeline.imaging.steps.encode import encode
from thumb_pipeline.imaging.steps.flatten import flatten
from thumb_pipeline.imaging.steps.identify import identify_format
from thumb_pipeline.imaging.steps.orient import orient
from thumb_pipeline.imaging.steps.pad import pad
from thumb_pipeline.imaging.steps.read_header import read_header
from thumb_pipeline.imaging.steps.read_metadata import read_metadata
from thumb_pipeline.imaging.steps.refuse_too_large import refuse_too_large
from thumb_pipeline.imaging.steps.shrink import shrink
from thumb_pipeline.imaging.steps.shrink_on_load import shrink_on_load
from thumb_pipeline.imaging.steps.strip_metadata import strip_metadata
from thumb_pipeline.imaging.steps.tasks import FinishTask, ShrinkTask, Source, whole
from thumb_pipeline.imaging.steps.to_srgb import to_srgb
from thumb_pipeline.imaging.steps.to_working_mode import to_working_mode
from thumb_pipeline.imaging.variants.provenance import seal
from thumb_pipeline.imaging.variants.thumb_hash import thumb_hash

__all__ = ["DECODE", "FINISH", "SHRINK", "Limits", "Origin", "Picture", "Rendering", "SourceFacts", "render"]

DECODE: tuple[Callable[[Source], None], ...] = (
    identify_format,
    read_header,
    read_metadata,
    shrink_on_load,
    refuse_too_large,
    await_room,
    decode,
    read_metadata,
    to_working_mode,
)
"""The steps once for each source, from its bytes to pixels."""

SHRINK: tuple[Callable[[Image.Image, ShrinkTask], Image.Image], ...] = (shrink, orient, to_srgb)
"""The steps once for each size that is made from the decoded pixels; one made from another size needs only `shrink`."""

FINISH: tuple[Callable[[Image.Image, FinishTask], Image.Image], ...] = (crop, flatten, pad, strip_metadata)
"""The steps once for each variant, before it is encoded and sealed."""

_FIRST_REDUCING_GAP = 3.0
_NEXT_REDUCING_GAP = 2.0


def render(
    stream: BinaryIO,
    specs: Sequence[VariantSpec],
    *,
    origin: Origin,
    limits: Limits = DEFAULT_LIMITS,
    frame_at: FrameAt = DEFAULT_FRAME_AT,
    admit: Callable[[int], None] | None = None,
) -> Rendering | Failure:
    """Decodes a source once and makes all its variants.

    Args:
        stream: the source's bytes, seekable.
        specs: the variants to make.
        origin: what the variants' provenance says about the source.
        limits: how large the source may be.
        frame_at: which frame of a video to take.
        admit: called between header and decoding with the number of pixels that will be in memory; may wait.

    Returns:
        The rendering, in which single variants may have failed; or the failure, if the source cannot be decoded.
    """
    with warnings.catch_warnings():
        # Pillow warns about metadata, which is not read here; it raises an exception for what matters about pixels.
        warnings.simplefilter("ignore")
        source = Source(stream=stream, specs=specs, limits=limits, frame_at=frame_at, admit=admit)
        try:
            for step in DECODE:
                step(source)
        except Refused as refusal:
            return refusal.failure
        framings = [_possible_framing(source, spec) for spec in source.specs]
        shrunk = _all_shrunk(source, [found.scaled for found in framings if isinstance(found, Framing)])
        pictures = tuple(
            found if isinstance(found, Failure) else _finished(source, spec, found, shrunk[found.scaled], origin)
            for spec, found in zip(source.specs, framings, strict=True)
        )
        return Rendering(source=_facts(source, shrunk), pictures=pictures)


def _facts(source: Source, shrunk: dict[Size, Image.Image | Failure]) -> SourceFacts:
    width, height = source.upright_size
    return SourceFacts(
        format=source.format,
        width_px=width,
        height_px=height,
        exif_captured_at=source.exif.captured_at,
        frame_at=_frame_at(source) or None,
        thumb_hash=_hash_of_smallest(shrunk),
    )


def _frame_at(source: Source) -> str:
    return source.frame_at.text if is_video(source.format) else ""


def _hash_of_smallest(shrunk: dict[Size, Image.Image | Failure]) -> str | None:
    whole_pictures = [picture for picture in shrunk.values() if isinstance(picture, Image.Image)]
    if not whole_pictures:
        return None
    return thumb_hash(min(whole_pictures, key=lambda picture: picture.width * picture.height))


def _all_shrunk(source: Source, sizes: Iterable[Size]) -> dict[Size, Image.Image | Failure]:
    """The whole picture at each size, or the failure of that size."""
    shrunk: dict[Size, Image.Image | Failure] = {}
    for link in chain(sizes, source.upright_size):
        shrunk[link.size] = _shrunk(source, link, shrunk)
    return shrunk


def _possible_framing(source: Source, spec: VariantSpec) -> Framing | Failure:
    found = framing(source.upright_size, spec)
    n_pixels = max(found.scaled[0] * found.scaled[1], found.canvas[0] * found.canvas[1])
    if max(found.canvas) <= MAX_SIDE_PX[spec.format] and n_pixels <= source.limits.max_pixels:
        return found
    size = f"{found.canvas[0]}x{found.canvas[1]}"
    return Failure(reason=FailureReason.VARIANT_IMPOSSIBLE, detail=f"{size} pixels are too many for {spec.format}")


def _shrunk(source: Source, link: Link, made: dict[Size, Image.Image | Failure]) -> Image.Image | Failure:
    parent = None if link.parent is None else made[link.parent]
    try:
        if isinstance(parent, Image.Image):
            return shrink(parent, _task_on_shrunk(parent, link.size))
        picture, task = source.pixels, _task_on_decoded(source, link.size)
        for step in SHRINK:
            picture = step(picture, task)
    except MemoryError as error:
        return Failure(reason=FailureReason.OUT_OF_MEMORY, detail=words(error))
    return picture


def _task_on_decoded(source: Source, size: Size) -> ShrinkTask:
    return ShrinkTask(
        size=size,
        region=source.region,
        orientation=source.exif.orientation,
        profile=source.profile,
        reducing_gap=_FIRST_REDUCING_GAP,
    )


def _task_on_shrunk(parent: Image.Image, size: Size) -> ShrinkTask:
    return ShrinkTask(
        size=size, region=whole(parent.size), orientation=1, profile=None, reducing_gap=_NEXT_REDUCING_GAP
    )


def _finished(
    source: Source, spec: VariantSpec, found: Framing, shrunk: Image.Image | Failure, origin: Origin
) -> Picture | Failure:
    if isinstance(shrunk, Failure):
        return shrunk
    task = FinishTask(spec=spec, framing=found)
    try:
        for step in FINISH:
            shrunk = step(shrunk, task)
        data, checksum = seal(encode(shrunk, spec, _provenance(source, spec, origin).to_text()))
    except MemoryError as error:
        return Failure(reason=FailureReason.OUT_OF_MEMORY, detail=words(error))
    except ENCODER_COMPLAINTS as error:
        return Failure(reason=FailureReason.VARIANT_IMPOSSIBLE, detail=words(error))
    return Picture(data=data, width_px=found.canvas[0], height_px=found.canvas[1], checksum=checksum)


def _provenance(source: Source, spec: VariantSpec, origin: Origin) -> Provenance:
    width, height = source.upright_size
    return Provenance(
        source_digest=origin.digest,
        source_n_bytes=origin.n_bytes,
        source_mtime_ns=origin.mtime_ns,
        source_name_digest=origin.name_digest,
        source_width_px=width,
        source_height_px=height,
        spec_fingerprint=spec.fingerprint,
        render_revision=RENDER_REVISION,
        version=__version__,
        frame_at=_frame_at(source),
    )
