"""Keeps worker processes busy, and takes the loss when one dies over a picture.

Who asks decides what the answers mean. What happens inside a worker is in `worker`.
"""

import json
import pickle
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any, Self

from thumb_pipeline.domain.failures import Failure, FailureReason
from thumb_pipeline.stages.worker_tasks import (
    LENGTH,
    Answer,
    Broken,
    ExamineAnswer,
    RenderAnswer,
    SheetAnswer,
    Task,
    VariantAnswer,
    WorkerOrders,
)
from thumb_pipeline.storage.leases import Lease
from thumb_pipeline.storage.publishing import CannotWrite


@dataclass(slots=True)
class _Worker:
    process: subprocess.Popen[bytes]
    complaints: IO[bytes]
    task: Task | None = None


class WorkerPool:
    """Up to `n_workers` processes, started when there is work for them and ended with the block.

    They inherit the lease, so that it is free only when the last of them has ended.
    """

    def __init__(self, n_workers: int, lease: Lease, orders: WorkerOrders) -> None:
        self._n_workers = n_workers
        self._lease = lease
        self._orders = orders
        self._idle: list[_Worker] = []
        self._busy: dict[int, _Worker] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in [*self._idle, *self._busy.values()]:
            worker.process.kill()  # publication is atomic: there is nothing to finish
            self._bury(worker)
        self._idle.clear()
        self._busy.clear()

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Answer | Failure]]:
        """Answers as they come, in no order. A worker that dies over a task answers it with a `Failure`.

        Raises:
            CannotWrite: the environment, not a picture, stands in the way.
        """
        waiting = iter(tasks)
        with selectors.DefaultSelector() as selector:
            self._feed(waiting, selector)
            while self._busy:
                for key, _ in selector.select():
                    task, answer = self._take(key.fd, selector)
                    if isinstance(answer, Broken):
                        raise CannotWrite(answer.message)
                    self._feed(waiting, selector)
                    yield task, answer

    def _feed(self, waiting: Iterator[Task], selector: selectors.DefaultSelector) -> None:
        while len(self._busy) < self._n_workers:
            task = next(waiting, None)
            if task is None:
                return
            worker = self._idle.pop() if self._idle else self._start()
            worker.task = task
            _send(worker, task)
            assert worker.process.stdout is not None
            descriptor = worker.process.stdout.fileno()
            selector.register(descriptor, selectors.EVENT_READ)
            self._busy[descriptor] = worker

    def _take(self, descriptor: int, selector: selectors.DefaultSelector) -> tuple[Task, Answer | Failure]:
        selector.unregister(descriptor)
        worker = self._busy.pop(descriptor)
        task = worker.task
        assert task is not None
        answer = _received(worker)
        if answer is None:
            return task, self._bury(worker)
        self._idle.append(worker)
        return task, answer

    def _start(self) -> _Worker:
        complaints = tempfile.TemporaryFile()  # noqa: SIM115 -- closed when the worker is buried
        process = subprocess.Popen(
            [sys.executable, "-m", "thumb_pipeline.stages.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            pass_fds=[self._lease.descriptor],
        )
        worker = _Worker(process, complaints)
        _send(worker, self._orders)
        return worker

    def _bury(self, worker: _Worker) -> Failure:
        """Ends a worker for good; returns what it died of."""
        for pipe in (worker.process.stdin, worker.process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue  # it died before it read its task
        code = worker.process.wait()
        worker.complaints.seek(0)
        said = worker.complaints.read().decode("utf-8", "replace").strip().splitlines()
        worker.complaints.close()
        return _cause_of_death(code, said[-1] if said else "", self._orders)


def _cause_of_death(code: int, said: str, orders: WorkerOrders) -> Failure:
    if code == -signal.SIGALRM:
        return Failure(reason=FailureReason.TIMED_OUT, detail=f"took longer than {orders.deadline_s:g} s")
    if "MemoryError" in said:
        return Failure(reason=FailureReason.OUT_OF_MEMORY, detail=said)
    if code < 0:
        name = signal.Signals(-code).name
        hint = "; perhaps the machine ran out of memory" if code == -signal.SIGKILL else ""
        return Failure(reason=FailureReason.CRASHED, detail=f"the decoder was ended by {name}{hint} {said}".strip())
    return Failure(reason=FailureReason.CRASHED, detail=said or f"the decoder ended with exit code {code}")


def _send(worker: _Worker, message: Task | WorkerOrders) -> None:
    data = pickle.dumps(message)
    assert worker.process.stdin is not None
    try:
        worker.process.stdin.write(LENGTH.pack(len(data)) + data)
        worker.process.stdin.flush()
    except BrokenPipeError:
        return  # it died while idle: its closed answer pipe tells


def _received(worker: _Worker) -> Answer | None:
    assert worker.process.stdout is not None
    head = worker.process.stdout.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    n_bytes = LENGTH.unpack(head)[0]
    data = worker.process.stdout.read(n_bytes)
    if len(data) < n_bytes:
        return None  # it was killed in the middle of its answer
    return _parsed(*json.loads(data))


def _parsed(kind: str, fields: Any) -> Answer:
    if kind == "list":
        return [ExamineAnswer(**item) for item in fields]
    if kind == "Broken":
        return Broken(**fields)
    if kind == "SheetAnswer":
        return SheetAnswer(**fields)
    return RenderAnswer(**{**fields, "variants": [VariantAnswer(**item) for item in fields["variants"]]})
