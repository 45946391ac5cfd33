"""The worker process: opens pictures, renders and publishes variants, examines existing ones.

Every picture is opened here, even for its header alone: a crash, a hang or a decompression bomb in a decoder ends only
this process, and becomes a failure in one source's row. It imports only what rendering needs. Its parent is `pool`.
"""

import base64
import hashlib
import io
import json
import os
import pickle
import sys
import time
from collections.abc import Callable
from typing import Any, BinaryIO

from thumb_pipeline.domain.failures import Failure, FailureReason
from thumb_pipeline.domain.names import name_digest, to_text
from thumb_pipeline.domain.plans import Examined, Expectation, judge
from thumb_pipeline.imaging.render import Limits, Origin, Picture, render
from thumb_pipeline.imaging.variants.contact_sheet import contact_sheet
from thumb_pipeline.imaging.variants.inspect import inspect
from thumb_pipeline.stages.library.service_folders import never_make_folders_anew
from thumb_pipeline.stages.workers.deep_checks import prove, read
from thumb_pipeline.stages.workers.limits import restrict, start_deadline, stop_deadline
from thumb_pipeline.stages.workers.memory_turn import Room
from thumb_pipeline.stages.workers.messages import (
    LENGTH,
    Answer,
    Broken,
    DigestAnswer,
    DigestTask,
    Evidence,
    EvidenceAnswer,
    EvidenceTask,
    Examination,
    ExamineAnswer,
    ExamineTask,
    Outcome,
    ProveTask,
    ReadTask,
    RenderAnswer,
    RenderTask,
    SheetAnswer,
    SheetTask,
    Task,
    VariantAnswer,
    VariantOrder,
    WorkerOrders,
)
from thumb_pipeline.storage.folders import mtime_ns
from thumb_pipeline.storage.frames_guard import FramesGuard, guard_of
from thumb_pipeline.storage.publishing import CannotWrite, FolderClosed, NameTaken, publish
from thumb_pipeline.storage.reading import open_regular
from thumb_pipeline.storage.removing import remove_seen

_IN_MEMORY_BYTES = 64 * 1024 * 1024
_READ_BYTES = 1024 * 1024


class _Moved(Exception):
    """The source is not what was planned."""


def main() -> None:
    """Reads tasks from standard input and writes answers to standard output, until the input is closed."""
    tasks = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library's prints must not get between the answers
    received = _receive(tasks)
    assert received is not None
    _, orders = received
    assert isinstance(orders, WorkerOrders)
    restrict(orders)
    never_make_folders_anew()
    while (received := _receive(tasks)) is not None:
        number, task = received
        assert not isinstance(task, WorkerOrders)
        start_deadline(orders)
        answer = _answer(task, orders)
        stop_deadline()
        _send(answers, number, answer)


def _answer(task: Task, orders: WorkerOrders) -> Answer:
    try:
        return _WORK[type(task)](task, orders)
    except CannotWrite as error:
        return Broken(message=str(error), is_of_folder=isinstance(error, FolderClosed))


def _render_source(task: RenderTask, orders: WorkerOrders) -> RenderAnswer:
    started = time.perf_counter()
    try:
        stream, digest = _read_source(task)
    except _Moved as moved:
        return _same_for_all(task, VariantAnswer(outcome=Outcome.MOVED, detail=str(moved)))
    except OSError as error:
        return _same_for_all(task, _refused(Failure(reason=FailureReason.UNREADABLE, detail=str(error.strerror))))
    except MemoryError:
        detail = f"{task.n_bytes} bytes do not fit the memory a worker may use"
        return _same_for_all(task, _refused(Failure(reason=FailureReason.OUT_OF_MEMORY, detail=detail)))
    answer = RenderAnswer(variants=[], digest=digest)
    origin = Origin(digest=digest, n_bytes=task.n_bytes, mtime_ns=task.mtime_ns, name_digest=name_digest(task.name))
    with stream:
        existing = [_check_existing(order, digest) for order in task.variants]
        wanted = [order for order, stands in zip(task.variants, existing, strict=True) if stands is None]
        made = iter(_make(stream, origin, wanted, orders, answer))
    answer.variants = [stands or next(made) for stands in existing]
    for variant in answer.variants:
        variant.ms = (time.perf_counter() - started) * 1000 / len(answer.variants)
    return answer


def _read_source(task: RenderTask | DigestTask) -> tuple[BinaryIO, str]:
    """The source's bytes and their digest.

    Raises:
        _Moved: the source is not as planned, before or after reading.
        OSError: it cannot be read.
        MemoryError: it does not fit into the worker's memory.
    """
    try:
        file = os.fdopen(open_regular(task.path), "rb", buffering=0)  # a large one is read again by the decoder
    except (FileNotFoundError, NotADirectoryError):
        raise _Moved("vanished since it was listed") from None
    _compare(file.fileno(), task)
    digest = hashlib.sha256()
    if task.n_bytes <= _IN_MEMORY_BYTES:
        with file:
            data = file.readall() or b""
            _compare(file.fileno(), task)
        digest.update(data)
        return io.BytesIO(data), digest.hexdigest()[:32]
    while piece := file.read(_READ_BYTES):
        digest.update(piece)
    _compare(file.fileno(), task)
    file.seek(0)
    return io.BufferedReader(file), digest.hexdigest()[:32]


def _compare(descriptor: int, task: RenderTask | DigestTask) -> None:
    now = os.fstat(descriptor)
    if (now.st_size, mtime_ns(now)) != (task.n_bytes, task.mtime_ns):
        raise _Moved("changed since it was listed")


def _check_existing(order: VariantOrder, digest: str) -> VariantAnswer | None:
    """The answer for a variant that is kept: the source's bytes are unchanged and the file is whole. Otherwise None.

    A variant that supersedes another file is made again: a kill came between its publication and that file's removal.
    """
    if order.known_digest != digest or order.superseded is not None:
        return None
    data, status = _read_file(order.target)
    inspection = inspect(data)
    if status is None or isinstance(inspection, Failure) or not inspection.is_whole or inspection.provenance is None:
        return None
    return VariantAnswer(
        outcome=Outcome.UNCHANGED,
        width_px=inspection.width_px,
        height_px=inspection.height_px,
        n_bytes=status.st_size,
        mtime_ns=mtime_ns(status),
        checksum=inspection.provenance.checksum,
        frame_at=inspection.provenance.frame_at or None,
    )


def _make(
    stream: BinaryIO, origin: Origin, wanted: list[VariantOrder], orders: WorkerOrders, answer: RenderAnswer
) -> list[VariantAnswer]:
    """Renders and publishes the wanted variants; writes the facts about the source into `answer`."""
    if not wanted:
        return []
    specs = [order.spec for order in wanted]
    limits = Limits(max_pixels=orders.max_pixels)
    room = Room(orders.room)
    try:
        rendering = render(stream, specs, origin=origin, limits=limits, frame_at=orders.frame_at, admit=room.admit)
    finally:
        room.leave()
    if isinstance(rendering, Failure):
        return [_refused(rendering) for _ in wanted]
    facts = rendering.source
    answer.format, answer.exif_captured_at = facts.format, facts.exif_captured_at
    answer.width_px, answer.height_px = facts.width_px, facts.height_px
    answer.thumb_hash = facts.thumb_hash
    return [
        _refused(picture)
        if isinstance(picture, Failure)
        else _publish_variant(order, picture, origin, orders, frame_at=facts.frame_at)
        for order, picture in zip(wanted, rendering.pictures, strict=True)
    ]


def _publish_variant(
    order: VariantOrder, picture: Picture, origin: Origin, orders: WorkerOrders, *, frame_at: str | None
) -> VariantAnswer:
    try:
        guard = guard_of(orders.cameras)
        status = publish(order.target, picture.data, writer=orders.writer, admit=guard.admit)
    except NameTaken as error:
        return _refused(Failure(reason=FailureReason.VARIANT_IMPOSSIBLE, detail=str(error)))
    if order.superseded is not None:
        _remove_superseded(order.superseded, order.superseded_of or origin.name_digest, guard)
    return VariantAnswer(
        outcome=Outcome.MADE,
        width_px=picture.width_px,
        height_px=picture.height_px,
        n_bytes=status.st_size,
        mtime_ns=mtime_ns(status),
        checksum=picture.checksum,
        frame_at=frame_at,
    )


def _remove_superseded(path: bytes, name_digest: str, guard: FramesGuard) -> None:
    """Removes our own file of the expected source, whose successor is published; rendering deletes nothing else."""
    folder_path, name = os.path.split(path)
    try:
        folder = os.open(folder_path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return  # the folder was moved away or replaced, and the file with it
    try:
        guard.admit(folder, folder_path)
        data, status = _read_file(name, folder=folder)
        if status is not None and _is_of_source(data, name_digest):
            remove_seen(name, status, folder=folder)
    except OSError as error:
        raise CannotWrite(f"cannot remove {to_text(path)}: {error.strerror}; let this user write there") from error
    finally:
        os.close(folder)


def _is_of_source(data: bytes, name_digest: str) -> bool:
    """Whether a file is our variant of the source with this name."""
    inspection = inspect(data)
    note = None if isinstance(inspection, Failure) else inspection.provenance
    return note is not None and note.source_name_digest == name_digest


def _examine(path: bytes, expected: Expectation, *, trust_existing: bool) -> Examination:
    data, status = _read_file(path)
    seen = _inspect_bytes(data, decode_foreign=trust_existing)
    verdict = judge(seen, expected, trust_existing=trust_existing)
    note = seen.provenance
    return Examination(
        reason=verdict.reason,
        known_digest=verdict.known_digest,
        is_trusted=verdict.is_trusted,
        width_px=seen.width_px,
        height_px=seen.height_px,
        n_bytes=status.st_size if status else None,
        mtime_ns=mtime_ns(status) if status else None,
        checksum=note.checksum if note else hashlib.sha256(data).hexdigest()[:32],
        source_digest=note.source_digest if note else None,
        frame_at=(note.frame_at or None) if note else None,
    )


def _inspect_bytes(data: bytes, *, decode_foreign: bool) -> Examined:
    inspection = inspect(data)
    if not isinstance(inspection, Failure) and inspection.is_foreign:
        inspection = inspect(data, decode=True) if decode_foreign else inspection
    if isinstance(inspection, Failure):
        return Examined(opens=False)
    is_unchecked_foreign = inspection.is_foreign and not decode_foreign
    return Examined(
        opens=True,
        is_whole=inspection.is_whole or is_unchecked_foreign,
        width_px=inspection.width_px,
        height_px=inspection.height_px,
        provenance=inspection.provenance,
    )


def _gather_evidence(path: bytes) -> Evidence:
    data, status = _read_file(path)
    inspection = inspect(data, decode=True)
    if status is None or isinstance(inspection, Failure):
        return Evidence(seen=Examined(opens=False))
    return Evidence(
        seen=Examined(
            opens=True,
            is_whole=inspection.is_whole,
            width_px=inspection.width_px,
            height_px=inspection.height_px,
            provenance=inspection.provenance,
        ),
        format=inspection.format,
        n_bytes=status.st_size,
        mtime_ns=mtime_ns(status),
        checksum=inspection.provenance.checksum if inspection.provenance else hashlib.sha256(data).hexdigest()[:32],
    )


def _read_digest(task: DigestTask) -> str | None:
    try:
        stream, digest = _read_source(task)
    except (_Moved, OSError, MemoryError):
        return None
    stream.close()
    return digest


def _make_sheet(task: SheetTask, orders: WorkerOrders) -> SheetAnswer:
    pictures = [data for data, _ in map(_read_file, task.files) if not isinstance(inspect(data, decode=True), Failure)]
    sheet = contact_sheet(pictures, columns=task.columns, cell=task.cell, quality=task.quality)
    if task.target is None:
        return SheetAnswer(n_pictures=len(pictures), base64=base64.b64encode(sheet).decode())
    publish(task.target, sheet, writer=orders.writer)
    return SheetAnswer(n_pictures=len(pictures))


def _read_file(path: bytes, *, folder: int | None = None) -> tuple[bytes, os.stat_result | None]:
    try:
        with os.fdopen(open_regular(path, folder=folder), "rb", buffering=0) as file:
            return file.readall() or b"", os.fstat(file.fileno())
    except OSError:
        return b"", None  # gone, unreadable or not a file: examined as an empty file, and so made again


def _refused(failure: Failure) -> VariantAnswer:
    return VariantAnswer(outcome=Outcome.FAILED, reason=failure.reason, detail=failure.detail)


def _same_for_all(task: RenderTask, answer: VariantAnswer) -> RenderAnswer:
    return RenderAnswer(variants=[answer for _ in task.variants])


def _receive(tasks: BinaryIO) -> tuple[int, Task | WorkerOrders] | None:
    """The number and the content of the parent's next message; None if there are no more."""
    head = tasks.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    message: tuple[int, Task | WorkerOrders] = pickle.loads(tasks.read(LENGTH.unpack(head)[0]))  # noqa: S301 -- ours
    return message


def _send(answers: BinaryIO, number: int, answer: Answer) -> None:
    data = json.dumps([number, type(answer).__name__, answer], default=_fields).encode()
    answers.write(LENGTH.pack(len(data)) + data)
    answers.flush()


def _fields(answer: Any) -> dict[str, Any]:
    """The fields of an answer or of a part of it; `dataclasses.asdict` would copy them and cost three times as much."""
    return {name: getattr(answer, name) for name in answer.__slots__}


_WORK: dict[type, Callable[[Any, WorkerOrders], Answer]] = {
    RenderTask: _render_source,
    SheetTask: _make_sheet,
    ProveTask: prove,
    ReadTask: read,
    DigestTask: lambda task, _: DigestAnswer(digest=_read_digest(task)),
    EvidenceTask: lambda task, _: EvidenceAnswer(files=[_gather_evidence(path) for path in task.files]),
    ExamineTask: lambda task, _: ExamineAnswer(
        files=[_examine(path, expected, trust_existing=task.trust_existing) for path, expected in task.files]
    ),
}
"""The function for each kind of task."""


if __name__ == "__main__":
    main()
