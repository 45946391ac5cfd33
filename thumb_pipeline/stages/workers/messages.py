"""The messages between the pool and a worker process: tasks and answers.

Tasks are pickled, because they come from us. Answers are JSON, because they come from a process that has decoded
untrusted bytes; they are read as untrusted data (`answers`). Each message of ours has a number, which its answer
repeats. The workers import this module, so it imports nothing heavy.
"""

import struct
from dataclasses import dataclass
from enum import StrEnum

from thumb_pipeline.domain.moments import DEFAULT_FRAME_AT, FrameAt
from thumb_pipeline.domain.plans import Examined, Expectation
from thumb_pipeline.domain.variants import VariantSpec

LENGTH = struct.Struct("<Q")
"""The prefix of each message: its length in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOrders:
    """The orders that hold as long as a worker runs.

    Attributes:
        writer: id of the lease it writes under.
        cameras: the folder of all cameras; nothing is written into their folders of frames.
        deadline_s: seconds that one task may take; then the kernel ends the worker.
        max_pixels: most decoded pixels in memory.
        max_memory_bytes: address space it may use.
        frame_at: the moment of a video whose frame is taken.
        room: descriptor of the file whose lock is the turn of large pictures (`memory_turn`); set by the pool.
        is_yielding: other workers go first where cores are short (`limits`).
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
    """One variant to make: its spec and its path.

    Attributes:
        known_digest: if the source's bytes have this digest, a sound variant stays as it is.
        superseded: the file to remove once this one is published, if its provenance names the right source.
        superseded_of: the digest of that source's name, if it is another source; None for this one.
    """

    spec: VariantSpec
    target: bytes
    known_digest: str | None = None
    superseded: bytes | None = None
    superseded_of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderTask:
    """One source and the variants to make from it; `n_bytes` and `mtime_ns` are as planned."""

    path: bytes
    name: bytes
    n_bytes: int
    mtime_ns: int
    variants: tuple[VariantOrder, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamineTask:
    """Variant files to examine; with `trust_existing`, files without provenance are decoded to their end."""

    files: tuple[tuple[bytes, Expectation], ...]
    trust_existing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetTask:
    """Variant files to put on a contact sheet; unreadable files are left out.

    Attributes:
        cell: width and height of a cell in pixels.
        target: the path to publish the sheet under; None to have its bytes in the answer.
    """

    files: tuple[bytes, ...]
    columns: int
    cell: tuple[int, int]
    quality: int
    target: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceTask:
    """Unexpected files to examine; those without provenance are decoded to their end."""

    files: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestTask:
    """A source to read only for its digest; `n_bytes` and `mtime_ns` are as listed."""

    path: bytes
    n_bytes: int
    mtime_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedFile:
    """What the manifest records of a variant's file; a file that `is_trusted` carries no provenance."""

    n_bytes: int
    mtime_ns: int
    checksum: str | None
    width_px: int | None
    height_px: int | None
    is_trusted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProveTask:
    """Variant files that look right: each is decoded to its end and compared with all that is known of it."""

    files: tuple[tuple[bytes, Expectation, RecordedFile], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownSource:
    """A source as listed, and the digest that its bytes had at this size and mtime; None if it has none yet."""

    path: bytes
    n_bytes: int
    mtime_ns: int
    digest: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadTask:
    """Sources to read to their end."""

    files: tuple[KnownSource, ...]


Batch = ExamineTask | ProveTask | ReadTask | EvidenceTask
"""A task over several files, which can be split into tasks of one file each."""

Task = RenderTask | SheetTask | DigestTask | Batch


class Outcome(StrEnum):
    """The result for one variant."""

    MADE = "made"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    MOVED = "moved"  # the source is not as planned: still being written, replaced or gone


@dataclass(slots=True, kw_only=True)
class VariantAnswer:
    """One variant's outcome; if it has a file, also the facts of the file that are recorded."""

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
    """The result for a source: its digest, the facts that decoding gave, and one answer for each variant, in order."""

    variants: list[VariantAnswer]
    digest: str | None = None
    format: str | None = None
    width_px: int | None = None
    height_px: int | None = None
    exif_captured_at: str | None = None
    thumb_hash: str | None = None


@dataclass(slots=True, kw_only=True)
class Examination:
    """The verdict on a file: make it again for `reason`, or, if `reason` is None, adopt it as described."""

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
    """One verdict for each file, in the order of the task."""

    files: list[Examination]


@dataclass(slots=True, kw_only=True)
class Evidence:
    """What was found out about one file.

    Attributes:
        seen: what was found in it.
        format: the format of the picture; None if it cannot be opened.
        n_bytes: its size when it was read; None if it cannot be opened.
        mtime_ns: its mtime, likewise.
        checksum: the one in its provenance, or the digest of all its bytes; None likewise.
    """

    seen: Examined
    format: str | None = None
    n_bytes: int | None = None
    mtime_ns: int | None = None
    checksum: str | None = None


@dataclass(slots=True, kw_only=True)
class EvidenceAnswer:
    """One evidence for each file, in the order of the task."""

    files: list[Evidence]


@dataclass(slots=True, kw_only=True)
class DigestAnswer:
    """The digest of a source; None if the source has changed since it was listed, or cannot be read."""

    digest: str | None


@dataclass(slots=True, kw_only=True)
class SheetAnswer:
    """How many pictures are on the sheet, and its bytes in base64 if the task has no target."""

    n_pictures: int
    base64: str | None = None


@dataclass(slots=True, kw_only=True)
class Broken:
    """An error of the environment, not of a picture: the run must stop, or stop writing into that folder."""

    message: str
    is_of_folder: bool = False


@dataclass(slots=True, kw_only=True)
class Damage:
    """What is wrong with one file of a `ProveTask` or `ReadTask`: a `Reason` or a `SourceFinding`, and a message."""

    index: int
    state: str
    detail: str


@dataclass(slots=True, kw_only=True)
class ProofAnswer:
    """The result for the files of a task; files that are not named are sound.

    Attributes:
        wrong: the damaged files.
        moved: indices of files that are absent, or not as recorded (any more): they were not checked.
        n_bytes: how many bytes were read.
    """

    wrong: list[Damage]
    moved: list[int]
    n_bytes: int


Answer = RenderAnswer | ExamineAnswer | SheetAnswer | ProofAnswer | EvidenceAnswer | DigestAnswer | Broken
