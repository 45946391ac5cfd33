"""What is asked of a worker process and what it answers.

Questions are pickled: they come from us. Answers are JSON: they come from a process that has had strange bytes in its
decoders, and are read as data (`answers`). Each message of ours has a number, which its answer repeats. Imported
by the workers: nothing heavy here.
"""

import struct
from dataclasses import dataclass
from enum import StrEnum

from thumb_pipeline.domain.moments import DEFAULT_FRAME_AT, FrameAt
from thumb_pipeline.domain.plans import Examined, Expectation
from thumb_pipeline.domain.variants import VariantSpec

LENGTH = struct.Struct("<Q")
"""Goes before each message: how many bytes it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOrders:
    """What holds for a worker's whole life.

    Attributes:
        writer: id of the lease it writes under.
        cameras: the folder of all cameras, in whose frames folders nothing is written.
        deadline_s: seconds one task may take; then the kernel ends the worker.
        max_pixels: most pixels held decoded.
        max_memory_bytes: address space it may use.
        frame_at: the moment of a video whose frame is taken.
        room: descriptor of the file whose lock is the turn of large pictures (`memory_turn`); set by the pool.
        is_yielding: others go first where cores are short (`limits`).
    """

    writer: str
    cameras: str
    deadline_s: float
    max_pixels: int
    max_memory_bytes: int
    frame_at: FrameAt = DEFAULT_FRAME_AT
    room: int | None = None
    is_yielding: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantOrder:
    """One variant to make: its recipe and its place.

    Attributes:
        known_digest: if the source's bytes have it, the variant stands as it is.
        superseded: file that goes once this one is published, if its provenance says that it is this source's.
        superseded_of: digest of the name of the other source whose file that is, where it is another's.
    """

    spec: VariantSpec
    target: bytes
    known_digest: str | None = None
    superseded: bytes | None = None
    superseded_of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderTask:
    """One source and the variants to make of it; `n_bytes` and `mtime_ns` are as planned."""

    path: bytes
    name: bytes
    n_bytes: int
    mtime_ns: int
    variants: tuple[VariantOrder, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamineTask:
    """Variant files to look into; with `trust_existing` those without provenance are decoded to their end."""

    files: tuple[tuple[bytes, Expectation], ...]
    trust_existing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetTask:
    """Variant files to put on a contact sheet; unreadable ones are left out.

    Attributes:
        cell: width and height of a cell in pixels.
        target: file to publish it as; None asks for its bytes.
    """

    files: tuple[bytes, ...]
    columns: int
    cell: tuple[int, int]
    quality: int
    target: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceTask:
    """Files that nothing expects, to be asked what they are; those without provenance are decoded to their end."""

    files: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestTask:
    """A source to be read for its digest alone; `n_bytes` and `mtime_ns` are as listed."""

    path: bytes
    n_bytes: int
    mtime_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedFile:
    """What the manifest says of a variant's file; `is_trusted` ones carry no provenance."""

    n_bytes: int
    mtime_ns: int
    checksum: str | None
    width_px: int | None
    height_px: int | None
    is_trusted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProveTask:
    """Variant files that look right: each is decoded to its end and held against all that is known of it."""

    files: tuple[tuple[bytes, Expectation, RecordedFile], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownSource:
    """A source as listed, and the digest that its bytes had under this size and mtime; None where none was taken."""

    path: bytes
    n_bytes: int
    mtime_ns: int
    digest: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadTask:
    """Sources to read to their end."""

    files: tuple[KnownSource, ...]


Batch = ExamineTask | ProveTask | ReadTask | EvidenceTask
"""A task over several files, each of which can be asked about alone."""

Task = RenderTask | SheetTask | DigestTask | Batch


class Outcome(StrEnum):
    """How one variant ended."""

    MADE = "made"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    MOVED = "moved"  # the source is not as planned: still being written, replaced or gone


@dataclass(slots=True, kw_only=True)
class VariantAnswer:
    """One variant's outcome and, where a file stands, what a record says of it."""

    outcome: str
    reason: str | None = None
    detail: str | None = None
    width_px: int | None = None
    height_px: int | None = None
    n_bytes: int | None = None
    mtime_ns: int | None = None
    checksum: str | None = None
    frame_at: str | None = None
    ms: float = 0.0


@dataclass(slots=True, kw_only=True)
class RenderAnswer:
    """What became of a source: its digest, what decoding taught, one answer a variant in the order asked."""

    variants: list[VariantAnswer]
    digest: str | None = None
    format: str | None = None
    width_px: int | None = None
    height_px: int | None = None
    exif_captured_at: str | None = None
    thumb_hash: str | None = None


@dataclass(slots=True, kw_only=True)
class Examination:
    """The verdict on a file: make it again for `reason`, or adopt it (reason None) as described."""

    reason: str | None
    known_digest: str | None = None
    is_trusted: bool = False
    width_px: int | None = None
    height_px: int | None = None
    n_bytes: int | None = None
    mtime_ns: int | None = None
    checksum: str | None = None
    source_digest: str | None = None
    frame_at: str | None = None


@dataclass(slots=True, kw_only=True)
class ExamineAnswer:
    """One verdict a file, in the order asked."""

    files: list[Examination]


@dataclass(slots=True, kw_only=True)
class Evidence:
    """What one file says of itself.

    Attributes:
        seen: what was found in it.
        format: of the picture; None where it is none.
        n_bytes: its size when it was read; None where it could not be.
        mtime_ns: likewise.
        checksum: the one it carries, or of all its bytes.
    """

    seen: Examined
    format: str | None = None
    n_bytes: int | None = None
    mtime_ns: int | None = None
    checksum: str | None = None


@dataclass(slots=True, kw_only=True)
class EvidenceAnswer:
    """One evidence a file, in the order asked."""

    files: list[Evidence]


@dataclass(slots=True, kw_only=True)
class DigestAnswer:
    """The digest of a source; None where it is not as listed any more, or cannot be read."""

    digest: str | None


@dataclass(slots=True, kw_only=True)
class SheetAnswer:
    """How many pictures are on the sheet, and its bytes in base64 where they were asked for."""

    n_pictures: int
    base64: str | None = None


@dataclass(slots=True, kw_only=True)
class Broken:
    """The environment, not a picture, stood in the way: the run must stop, or leave that folder alone."""

    message: str
    is_of_folder: bool = False


@dataclass(slots=True, kw_only=True)
class Damage:
    """What is wrong with one file of a `ProveTask` or `ReadTask`: a `Reason` or a `SourceFinding`, and words."""

    index: int
    state: str
    detail: str


@dataclass(slots=True, kw_only=True)
class ProofAnswer:
    """What opening the files of a task came to; those that are not named are right.

    Attributes:
        wrong: the damaged ones.
        moved: indices of those that are not there, or not as recorded (any more): nothing is said of them.
        n_bytes: how many bytes were read.
    """

    wrong: list[Damage]
    moved: list[int]
    n_bytes: int


Answer = RenderAnswer | ExamineAnswer | SheetAnswer | ProofAnswer | EvidenceAnswer | DigestAnswer | Broken
