"""Runs worker processes, and replaces a worker that dies over a picture.

The caller decides what the answers mean. What a worker does is in `process`.
"""

import os
import pickle
import select
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import IO, Self, TypeVar

from thumb_pipeline.domain.failures import Failure, FailureReason
from thumb_pipeline.stages.library.library import Lease, Library
from thumb_pipeline.stages.workers.answers import NoAnswer, read_answer
from thumb_pipeline.stages.workers.memory_turn import make_room
from thumb_pipeline.stages.workers.messages import LENGTH, Answer, Batch, Broken, Task, WorkerOrders
from thumb_pipeline.storage import stopping
from thumb_pipeline.storage.publishing import CannotWrite, FolderClosed

_MAX_ANSWER_N_BYTES = 4 * 1024 * 1024
"""Ten times the longest answer. JSON of this size that is nothing but brackets takes 100 MB to read."""

_MOST_COMPLAINTS_N_BYTES = 64 * 1024
_REST_WITHIN_S = 60.0
"""Time for the rest of an answer that has begun, and for a worker to end after its pipe is closed."""

_LOOK_EVERY_S = 0.5
_END_WITHIN_S = 2.0
"""Time for the tasks in flight when a stop is requested; a worker that needs longer is killed."""

_OUT_OF_MEMORY_WORDS = ("MemoryError", "bad_alloc", "out of memory", "Cannot allocate memory")
"""Words in the last line that Python, C++ and C libraries print when a worker's address space is full."""


_T = TypeVar("_T")


_FILES_A_BATCH = 64


def in_batches(n_files: int) -> Iterator[range]:
    """The indices of this many files, in batches for `WorkerPool.run_batches`."""
    for first in range(0, n_files, _FILES_A_BATCH):
        yield range(first, min(first + _FILES_A_BATCH, n_files))


@dataclass(slots=True)
class _Worker:
    process: subprocess.Popen[bytes]
    complaints: IO[bytes]
    task: Task | None = None
    number: int = 0  # of the message that was sent last; the answer must repeat it


@dataclass(frozen=True, slots=True)
class _Killed:
    """A worker was killed from outside; `failure` is recorded if the second try ends the same way."""

    failure: Failure


def worker_orders(library: Library, lease: Lease) -> WorkerOrders:
    """The orders for a worker of a library, by its settings."""
    rendering = library.settings.rendering
    return WorkerOrders(
        writer=lease.id,
        cameras=library.cameras,
        deadline_s=rendering.deadline_s,
        max_pixels=int(rendering.max_megapixels * 1_000_000),
        max_memory_bytes=rendering.max_memory_mb * 1024 * 1024,
        frame_at=library.settings.frame_at,
        is_yielding=not library.is_urgent,
    )


def open_pool(library: Library, lease: Lease) -> "WorkerPool":
    """A pool of as many workers as the settings say, as a context manager that ends them."""
    return WorkerPool(library.workers, lease, worker_orders(library, lease))


class WorkerPool:
    """Up to `n_workers` processes, started when there is work for them and ended with the block.

    They inherit the lease, so it is free only when the last worker has ended.
    """

    def __init__(self, n_workers: int, lease: Lease, orders: WorkerOrders) -> None:
        self._n_workers = n_workers
        self._lease = lease
        self._room = make_room()
        self._orders = replace(orders, room=self._room.fileno())
        self._idle: list[_Worker] = []
        self._busy: dict[int, _Worker] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in [*self._idle, *self._busy.values()]:
            worker.process.kill()  # publication is atomic: there is nothing to finish
            self._close_worker(worker)
        self._idle.clear()
        self._busy.clear()
        self._room.close()

    def warm_up(self, n_tasks: int) -> None:
        """Starts the workers for this many tasks ahead of the tasks, without waiting for their start."""
        while len(self._idle) + len(self._busy) < min(n_tasks, self._n_workers):
            self._idle.append(self._start())

    def rest(self) -> None:
        """Ends the idle workers; new ones are started when there is work again."""
        while self._idle:
            worker = self._idle.pop()
            worker.process.kill()
            self._close_worker(worker)

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Answer | Failure]]:
        """Yields each task's answer as it comes, in no order; a `Failure` if the worker dies or its answer is unusable.

        A worker that is killed from outside was most likely chosen by the kernel when memory was short. Its task is
        tried once more at the end, with one worker at a time. A second `run` may start while the first is still being
        iterated; it uses other workers.

        When a stop is requested, no further task is started, and the tasks in flight have two seconds.

        Raises:
            CannotWrite: the environment, not a picture, is at fault.
            Stopped: a stop was requested.
        """
        killed: list[Task] = []
        for task, answer in self._run_tasks(iter(tasks), self._n_workers):
            if isinstance(answer, _Killed):
                killed.append(task)
            else:
                yield task, answer
        for task, answer in self._run_tasks(iter(killed), 1):
            yield task, answer.failure if isinstance(answer, _Killed) else answer

    def run_for(self, pairs: Iterable[tuple[_T, Task]]) -> Iterator[tuple[_T, Answer | Failure]]:
        """The same for pairs of a purpose and a task; yields each purpose with its answer. Raises as `run`."""
        purposes: dict[int, _T] = {}

        def tasks() -> Iterator[Task]:
            for purpose, task in pairs:
                purposes[id(task)] = purpose
                yield task

        for task, answer in self.run(tasks()):
            yield purposes.pop(id(task)), answer

    def run_batches(
        self, batches: Iterable[tuple[Sequence[int], Batch]]
    ) -> Iterator[tuple[Sequence[int], Answer | Failure]]:
        """The same for tasks over several files, each with the places of its files in the caller's table.

        If a worker dies over a batch, one of the batch's files is the cause. Its files are run again one by one, after
        all other batches. So a `Failure` always belongs to a single file.
        """
        deadly: list[tuple[Sequence[int], Batch]] = []
        for (places, batch), answer in self.run_for(((places, batch), batch) for places, batch in batches):
            if isinstance(answer, Failure) and len(places) > 1:
                deadly.append((places, batch))
            else:
                yield places, answer
        alone = (
            ([place], replace(batch, files=(file,)))  # type: ignore[arg-type]  # files of the batch's own kind
            for places, batch in deadly
            for place, file in zip(places, batch.files, strict=True)
        )
        yield from self.run_for(alone)

    def _run_tasks(
        self, waiting: Iterator[Task], n_workers: int
    ) -> "Iterator[tuple[Task, Answer | Failure | _Killed]]":
        with selectors.DefaultSelector() as selector:
            self._feed(waiting, n_workers, selector)
            while selector.get_map():
                for key, _ in selector.select(_LOOK_EVERY_S):
                    task, answer = self._take_answer(key.fd, selector)
                    if isinstance(answer, Broken):
                        raise (FolderClosed if answer.is_of_folder else CannotWrite)(answer.message)
                    self._feed(waiting, n_workers, selector)
                    if stopping.asked_for_s() is None or not isinstance(answer, Failure | _Killed):
                        yield task, answer  # a signal to the whole group ends workers too: not the source's fault
                if (stopping.asked_for_s() or 0.0) > _END_WITHIN_S:
                    yield from self._take_last_answers(selector)
                    stopping.look()
        stopping.look()

    def _take_last_answers(self, selector: selectors.DefaultSelector) -> Iterator[tuple[Task, Answer]]:
        """Kills the busy workers; yields the answers they had written: those variants are published, so record them."""
        for worker in self._busy.values():
            worker.process.kill()
        for descriptor in list(self._busy):
            task, answer = self._take_answer(descriptor, selector)
            if not isinstance(answer, Broken | Failure | _Killed):
                yield task, answer

    def _feed(self, waiting: Iterator[Task], n_workers: int, selector: selectors.DefaultSelector) -> None:
        while len(selector.get_map()) < n_workers and stopping.asked_for_s() is None:
            task = next(waiting, None)
            if task is None:
                return
            worker = self._get_worker()
            worker.task = task
            _send(worker, task)
            assert worker.process.stdout is not None
            descriptor = worker.process.stdout.fileno()
            selector.register(descriptor, selectors.EVENT_READ)
            self._busy[descriptor] = worker

    def _get_worker(self) -> _Worker:
        """An idle worker, or a new one. Ends a worker that died or wrote something while idle; no source is blamed."""
        while self._idle:
            worker = self._idle.pop()
            if worker.process.poll() is None and not _wait_for_output(worker, within_s=0.0):
                return worker
            worker.process.kill()
            self._close_worker(worker)
        return self._start()

    def _take_answer(
        self, descriptor: int, selector: selectors.DefaultSelector
    ) -> "tuple[Task, Answer | Failure | _Killed]":
        selector.unregister(descriptor)
        worker = self._busy.pop(descriptor)
        task = worker.task
        assert task is not None
        try:
            answer = _receive(worker)
        except NoAnswer as error:
            worker.process.kill()
            self._close_worker(worker)
            detail = f"the decoder's process gave an unusable answer: {error}"
            return task, Failure(reason=FailureReason.CRASHED, detail=detail)
        if answer is None:
            failure = self._close_worker(worker)
            return task, _Killed(failure) if worker.process.returncode == -signal.SIGKILL else failure
        self._idle.append(worker)
        return task, answer

    def _start(self) -> _Worker:
        complaints = tempfile.TemporaryFile()  # noqa: SIM115 -- closed with the worker
        process = subprocess.Popen(
            [sys.executable, "-m", "thumb_pipeline.stages.workers.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            pass_fds=[self._lease.descriptor, self._room.fileno()],
        )
        worker = _Worker(process, complaints)
        _send(worker, self._orders)
        return worker

    def _close_worker(self, worker: _Worker) -> Failure:
        """Closes a worker's pipes, waits for its end and returns why it ended."""
        for pipe in (worker.process.stdin, worker.process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue  # the worker died before it read its task
        code = _end(worker)
        worker.complaints.seek(max(0, worker.complaints.seek(0, os.SEEK_END) - _MOST_COMPLAINTS_N_BYTES))
        lines = worker.complaints.read().decode("utf-8", "replace").strip().splitlines()
        worker.complaints.close()
        return _cause_of_death(code, lines[-1] if lines else "", self._orders)


def _end(worker: _Worker) -> int:
    """Waits until a worker whose pipes are closed has ended; kills it if it does not end."""
    try:
        return worker.process.wait(_REST_WITHIN_S)
    except subprocess.TimeoutExpired:
        worker.process.kill()
        return worker.process.wait()


def _cause_of_death(code: int, last_line: str, orders: WorkerOrders) -> Failure:
    if code in (-signal.SIGALRM, -signal.SIGPROF):
        return Failure(reason=FailureReason.TIMED_OUT, detail=f"took longer than {orders.deadline_s:g} s")
    if any(words in last_line for words in _OUT_OF_MEMORY_WORDS):
        return Failure(reason=FailureReason.OUT_OF_MEMORY, detail=last_line)
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        hint = "; perhaps the machine ran out of memory" if code == -signal.SIGKILL else ""
        return Failure(
            reason=FailureReason.CRASHED, detail=f"the decoder was ended by {name}{hint} {last_line}".strip()
        )
    return Failure(reason=FailureReason.CRASHED, detail=last_line or f"the decoder ended with exit code {code}")


def _send(worker: _Worker, message: Task | WorkerOrders) -> None:
    worker.number += 1
    data = pickle.dumps((worker.number, message))
    assert worker.process.stdin is not None
    try:
        worker.process.stdin.write(LENGTH.pack(len(data)) + data)
        worker.process.stdin.flush()
    except BrokenPipeError:
        return  # it died while idle; its closed answer pipe shows that


def _receive(worker: _Worker) -> Answer | None:
    """The worker's answer; None if it ended before it had written one.

    Raises:
        NoAnswer: its output is not an answer to its task.
    """
    assert worker.task is not None
    head = _read(worker, LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (n_bytes,) = LENGTH.unpack(head)
    if n_bytes > _MAX_ANSWER_N_BYTES:
        raise NoAnswer(f"it is longer than {_MAX_ANSWER_N_BYTES} bytes")
    data = _read(worker, n_bytes)
    return read_answer(data, worker.task, worker.number) if len(data) == n_bytes else None


def _read(worker: _Worker, n_bytes: int) -> bytes:
    """Reads this many bytes of an answer; fewer if the worker has closed its pipe.

    Raises:
        NoAnswer: the worker stopped writing in the middle of its answer.
    """
    assert worker.process.stdout is not None
    descriptor, until_s = worker.process.stdout.fileno(), time.monotonic() + _REST_WITHIN_S
    data = bytearray()
    while len(data) < n_bytes:
        if not _wait_for_output(worker, within_s=until_s - time.monotonic()):
            raise NoAnswer(f"it was not finished within {_REST_WITHIN_S:g} s")
        piece = os.read(descriptor, n_bytes - len(data))
        if not piece:
            break
        data += piece
    return bytes(data)


def _wait_for_output(worker: _Worker, *, within_s: float) -> bool:
    """Waits until a worker writes something or closes its pipe; returns whether it did so in time."""
    assert worker.process.stdout is not None
    poll = select.poll()
    poll.register(worker.process.stdout, select.POLLIN)
    return bool(poll.poll(max(0.0, within_s) * 1000))
