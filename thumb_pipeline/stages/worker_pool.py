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
from dataclasses import dataclass, replace
from types import TracebackType
from typing import IO, Any, Self

from thumb_pipeline.domain.failures import Failure, FailureReason
from thumb_pipeline.domain.plans import Examined
from thumb_pipeline.domain.provenance import Provenance
from thumb_pipeline.stages.worker_room import make_room
from thumb_pipeline.stages.worker_tasks import (
    LENGTH,
    Answer,
    Broken,
    DigestAnswer,
    Disproof,
    Evidence,
    EvidenceAnswer,
    ExamineAnswer,
    ProofAnswer,
    RenderAnswer,
    SheetAnswer,
    Task,
    VariantAnswer,
    WorkerOrders,
)
from thumb_pipeline.storage import stopping
from thumb_pipeline.storage.leases import Lease
from thumb_pipeline.storage.publishing import CannotWrite, FolderClosed

_MAX_ANSWER_N_BYTES = 64 * 1024 * 1024

_LOOK_EVERY_S = 0.5
_END_WITHIN_S = 2.0
"""Time for the pictures in flight when a stop is asked for; who needs longer is killed."""

_OUT_OF_MEMORY_WORDS = ("MemoryError", "bad_alloc", "out of memory", "Cannot allocate memory")
"""What Python, C++ and C libraries say last when the address space that a worker may use is full."""


@dataclass(slots=True)
class _Worker:
    process: subprocess.Popen[bytes]
    complaints: IO[bytes]
    task: Task | None = None


@dataclass(frozen=True, slots=True)
class _Killed:
    """A worker ended from outside, and what that is recorded as if it happens again."""

    failure: Failure


class WorkerPool:
    """Up to `n_workers` processes, started when there is work for them and ended with the block.

    They inherit the lease, so that it is free only when the last of them has ended.
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
            self._bury(worker)
        self._idle.clear()
        self._busy.clear()
        self._room.close()

    def warm_up(self, n_tasks: int) -> None:
        """Starts the workers for so many tasks before they come, and does not wait until they have started."""
        while len(self._idle) + len(self._busy) < min(n_tasks, self._n_workers):
            self._idle.append(self._start())

    def rest(self) -> None:
        """Ends the workers that have nothing to do; others are started when there is work again."""
        while self._idle:
            worker = self._idle.pop()
            worker.process.kill()
            self._bury(worker)

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Answer | Failure]]:
        """Answers as they come, in no order. A worker that dies over a task answers it with a `Failure`.

        Who is killed from outside was most likely the kernel's choice when memory was short: such a task is tried once
        more in the end, alone. While one run's answers are taken, another one may be made: it has workers of its own.

        When a stop is asked for, no task is handed out any more; what is in flight has two seconds.

        Raises:
            CannotWrite: the environment, not a picture, stands in the way.
            Stopped: a stop was asked for.
        """
        killed: list[Task] = []
        for task, answer in self._answers(iter(tasks), self._n_workers):
            if isinstance(answer, _Killed):
                killed.append(task)
            else:
                yield task, answer
        for task, answer in self._answers(iter(killed), 1):
            yield task, answer.failure if isinstance(answer, _Killed) else answer

    def _answers(self, waiting: Iterator[Task], n_workers: int) -> "Iterator[tuple[Task, Answer | Failure | _Killed]]":
        with selectors.DefaultSelector() as selector:
            self._feed(waiting, n_workers, selector)
            while selector.get_map():
                for key, _ in selector.select(_LOOK_EVERY_S):
                    task, answer = self._take(key.fd, selector)
                    if isinstance(answer, Broken):
                        raise (FolderClosed if answer.is_of_folder else CannotWrite)(answer.message)
                    self._feed(waiting, n_workers, selector)
                    if stopping.asked_for_s() is None or not isinstance(answer, Failure | _Killed):
                        yield task, answer  # a signal to the whole group ends workers too: no source is to blame
                if (stopping.asked_for_s() or 0.0) > _END_WITHIN_S:
                    stopping.look()
        stopping.look()

    def _feed(self, waiting: Iterator[Task], n_workers: int, selector: selectors.DefaultSelector) -> None:
        while len(selector.get_map()) < n_workers and stopping.asked_for_s() is None:
            task = next(waiting, None)
            if task is None:
                return
            worker = self._living()
            worker.task = task
            _send(worker, task)
            assert worker.process.stdout is not None
            descriptor = worker.process.stdout.fileno()
            selector.register(descriptor, selectors.EVENT_READ)
            self._busy[descriptor] = worker

    def _living(self) -> _Worker:
        """An idle worker, or a new one; no source is blamed for a worker that died while it had nothing to do."""
        while self._idle:
            worker = self._idle.pop()
            if worker.process.poll() is None:
                return worker
            self._bury(worker)
        return self._start()

    def _take(self, descriptor: int, selector: selectors.DefaultSelector) -> "tuple[Task, Answer | Failure | _Killed]":
        selector.unregister(descriptor)
        worker = self._busy.pop(descriptor)
        task = worker.task
        assert task is not None
        answer = _received(worker)
        if answer is None:
            failure = self._bury(worker)
            return task, _Killed(failure) if worker.process.returncode == -signal.SIGKILL else failure
        self._idle.append(worker)
        return task, answer

    def _start(self) -> _Worker:
        complaints = tempfile.TemporaryFile()  # noqa: SIM115 -- closed when the worker is buried
        process = subprocess.Popen(
            [sys.executable, "-m", "thumb_pipeline.stages.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            pass_fds=[self._lease.descriptor, self._room.fileno()],
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
    if code in (-signal.SIGALRM, -signal.SIGPROF):
        return Failure(reason=FailureReason.TIMED_OUT, detail=f"took longer than {orders.deadline_s:g} s")
    if any(words in said for words in _OUT_OF_MEMORY_WORDS):
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
    """The worker's answer; None where it died, or lost its senses over strange bytes."""
    assert worker.process.stdout is not None
    head = worker.process.stdout.read(LENGTH.size)
    n_bytes = LENGTH.unpack(head)[0] if len(head) == LENGTH.size else 0
    data = worker.process.stdout.read(n_bytes) if n_bytes <= _MAX_ANSWER_N_BYTES else b""
    try:
        return _parsed(*json.loads(data))
    except (ValueError, TypeError, KeyError):
        worker.process.terminate()
        return None


def _parsed(kind: str, fields: Any) -> Answer:
    if kind == "list":
        return [ExamineAnswer(**item) for item in fields]
    if kind == "Broken":
        return Broken(**fields)
    if kind == "SheetAnswer":
        return SheetAnswer(**fields)
    if kind == "ProofAnswer":
        return ProofAnswer(**{**fields, "wrong": [Disproof(**item) for item in fields["wrong"]]})
    if kind == "DigestAnswer":
        return DigestAnswer(**fields)
    if kind == "EvidenceAnswer":
        return EvidenceAnswer(files=[_evidence(**item) for item in fields["files"]])
    return RenderAnswer(**{**fields, "variants": [VariantAnswer(**item) for item in fields["variants"]]})


def _evidence(seen: Any, **facts: Any) -> Evidence:
    note = seen.pop("provenance")
    return Evidence(seen=Examined(**seen, provenance=None if note is None else Provenance(**note)), **facts)
