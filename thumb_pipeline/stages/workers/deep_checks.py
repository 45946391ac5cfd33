"""The worker's part of a deep verification: it decodes variants to their end, and reads sources to their end.

Nothing is written, and sources are opened for reading only. Which files are checked, and what follows, is in
`examining.deep`; `domain.plans.judge` judges a variant's provenance.
"""

import errno
import hashlib
import os
import signal

from thumb_pipeline.domain.failures import Failure
from thumb_pipeline.domain.findings import SourceFinding
from thumb_pipeline.domain.plans import Examined, Expectation, Reason, fits_box, judge
from thumb_pipeline.imaging.variants.inspect import Inspection, inspect_to_the_end
from thumb_pipeline.stages.workers.memory_turn import Room
from thumb_pipeline.stages.workers.messages import (
    Damage,
    KnownSource,
    ProofAnswer,
    ProveTask,
    ReadTask,
    RecordedFile,
    WorkerOrders,
)
from thumb_pipeline.storage.folders import mtime_ns

_buffer = memoryview(bytearray(1024 * 1024))  # reused: new memory for each piece costs as much as its digest
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


class _Moved(Exception):
    """The file is not the recorded or listed one (any more)."""


def prove(task: ProveTask, orders: WorkerOrders) -> ProofAnswer:
    """Decodes variants; each file has the whole deadline."""
    answer = ProofAnswer(wrong=[], moved=[], n_bytes=0)
    room = Room(orders.room)
    for index, (path, expected, recorded) in enumerate(task.files):
        signal.setitimer(signal.ITIMER_REAL, orders.deadline_s)
        try:
            data = _read_variant(path, recorded)
        except _Moved:
            answer.moved.append(index)
            continue
        except OSError as error:
            detail = f"it cannot be read ({error.strerror})"
            answer.wrong.append(Damage(index=index, state=Reason.CORRUPT, detail=detail))
            continue
        answer.n_bytes += len(data)
        inspection = inspect_to_the_end(data, max_pixels=_max_pixels(recorded, orders), admit=room.admit)
        room.leave()
        if (damage := _damage(data, inspection, expected, recorded)) is not None:
            answer.wrong.append(Damage(index=index, state=damage[0], detail=damage[1]))
    return answer


def read(task: ReadTask, orders: WorkerOrders) -> ProofAnswer:
    """Reads sources; each megabyte has the whole deadline, because a slow disk is not a hang."""
    answer = ProofAnswer(wrong=[], moved=[], n_bytes=0)
    for index, source in enumerate(task.files):
        try:
            digest = _read_digest(source, orders.deadline_s)
        except _Moved:
            answer.moved.append(index)
            continue
        except OSError as error:
            detail = f"it cannot be read to its end ({error.strerror})"
            answer.wrong.append(Damage(index=index, state=SourceFinding.UNREADABLE, detail=detail))
            continue
        answer.n_bytes += source.n_bytes
        if source.digest is not None and digest != source.digest:
            detail = f"its bytes have the digest {digest} and had {source.digest}, at the same size and mtime"
            answer.wrong.append(Damage(index=index, state=SourceFinding.BIT_ROT, detail=detail))
    return answer


def _damage(
    data: bytes, inspection: Inspection | Failure, expected: Expectation, recorded: RecordedFile
) -> tuple[Reason, str] | None:
    if isinstance(inspection, Failure):
        return Reason.CORRUPT, f"it does not open ({inspection.detail})"
    if not inspection.is_whole:
        return Reason.CORRUPT, inspection.fault
    note = inspection.provenance
    if note is None and not recorded.is_trusted:
        return Reason.CORRUPT, "another picture is in its place: it lacks the note that the recorded file carried"
    checksum = note.checksum if note is not None else hashlib.sha256(data).hexdigest()[:32]
    seen = Examined(
        opens=True,
        is_whole=True,
        width_px=inspection.width_px,
        height_px=inspection.height_px,
        provenance=note,
    )
    if note is not None and (verdict := judge(seen, expected, trust_existing=False)).reason is not None:
        return verdict.reason, verdict.detail
    if recorded.checksum is not None and checksum != recorded.checksum:
        return Reason.CORRUPT, "it is whole, but not the file that was recorded: its checksum differs"
    sizes = ((inspection.width_px, recorded.width_px), (inspection.height_px, recorded.height_px))
    if any(known is not None and known != side for side, known in sizes):
        return Reason.CORRUPT, f"{inspection.width_px}x{inspection.height_px} pixels, which is not the recorded size"
    if note is None and not fits_box(seen, expected.spec):
        return Reason.STALE_SPEC, "larger than its box"
    return None


def _max_pixels(recorded: RecordedFile, orders: WorkerOrders) -> int:
    """The limit on pixels, or the recorded size if that is larger: the limit may have been lowered after rendering."""
    return max(orders.max_pixels, (recorded.width_px or 0) * (recorded.height_px or 0))


def _read_variant(path: bytes, recorded: RecordedFile) -> bytes:
    descriptor = _open(path)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        _compare(descriptor, recorded)
        data = file.readall() or b""
        _compare(descriptor, recorded)
    return data


def _read_digest(source: KnownSource, deadline_s: float) -> str:
    descriptor = _open(source.path)
    digest = hashlib.sha256()
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        _compare(descriptor, source)
        signal.setitimer(signal.ITIMER_REAL, deadline_s)
        while n_bytes := file.readinto(_buffer):
            digest.update(_buffer[:n_bytes])
            signal.setitimer(signal.ITIMER_REAL, deadline_s)
        _compare(descriptor, source)
    return digest.hexdigest()[:32]


def _open(path: bytes) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)  # do not block on a pipe put in its place
    except OSError as error:
        if error.errno in _GONE:
            raise _Moved from None
        raise


def _compare(descriptor: int, known: RecordedFile | KnownSource) -> None:
    now = os.fstat(descriptor)
    if (now.st_size, mtime_ns(now)) != (known.n_bytes, known.mtime_ns):
        raise _Moved
