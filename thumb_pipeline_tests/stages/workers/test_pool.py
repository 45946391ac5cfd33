"""Workers that die, hang or run out of memory over real pictures: one source pays, the others do not."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from thumb_pipeline.domain.failures import Failure, FailureReason
from thumb_pipeline.domain.plans import Expectation
from thumb_pipeline.stages.workers.messages import ExamineAnswer, ExamineTask, Outcome, RenderAnswer, RenderTask
from thumb_pipeline.stages.workers.pool import WorkerPool
from thumb_pipeline.storage import stopping
from thumb_pipeline_tests.stages.workers.pools import MEBIBYTE, SMALL, children, pool_in, task_for

pytestmark = pytest.mark.daemon

LONGER_THAN_A_STOP_WAITS_S = 2.3


@pytest.fixture
def frame(tmp_path: Path) -> Path:
    """A picture of no trouble."""
    path = tmp_path / "frame.jpg"
    Image.linear_gradient("L").resize((640, 480)).convert("RGB").save(path)
    return path


@pytest.fixture(scope="module")
def slow_picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound JPEG 2000 of 4 MP, which takes about a second of a core: its decoder is slow on every machine."""
    path = tmp_path_factory.mktemp("slow") / "slow.jp2"
    Image.effect_noise((2000, 2000), 60).convert("RGB").save(path)
    return path


@pytest.fixture
def large_picture(tmp_path: Path) -> Path:
    """A sound PNG of 64 MP, which takes 192 MB: its decoder cannot shrink it while it loads."""
    path = tmp_path / "large.png"
    Image.new("RGB", (8000, 8000)).save(path, compress_level=1)
    return path


def answers(pool: WorkerPool, tasks: list[RenderTask]) -> dict[bytes, RenderAnswer | Failure]:
    found = {}
    for task, answer in pool.run(tasks):
        assert isinstance(task, RenderTask)
        assert isinstance(answer, (RenderAnswer, Failure))
        assert task.path not in found
        found[task.path] = answer
    return found


def is_made(answer: RenderAnswer | Failure) -> bool:
    return isinstance(answer, RenderAnswer) and all(variant.outcome == Outcome.MADE for variant in answer.variants)


@pytest.fixture
def kill_workers() -> Iterator[Callable[[signal.Signals, int], None]]:
    """Sends a signal to each new child, from now on, up to a number of them."""
    stop = threading.Event()
    threads = []

    def start(number: signal.Signals, times: int) -> None:
        thread = threading.Thread(target=watch, args=(number, times, children()))
        threads.append(thread)
        thread.start()

    def watch(number: signal.Signals, times: int, seen: set[int]) -> None:
        while times and not stop.is_set():
            for pid in children() - seen:
                if b"thumb_pipeline.stages.workers.process" not in Path(f"/proc/{pid}/cmdline").read_bytes():
                    continue
                time.sleep(0.4)  # let it start and take its task
                os.kill(pid, number)
                seen = seen | {pid}
                times -= 1
            stop.wait(0.01)

    yield start
    stop.set()
    for thread in threads:
        thread.join()


def test_a_picture_that_takes_too_long_costs_its_row_only(tmp_path: Path, frame: Path, slow_picture: Path) -> None:
    with pool_in(tmp_path, deadline_s=0.3) as pool:
        found = answers(pool, [task_for(slow_picture, tmp_path), task_for(frame, tmp_path)])
    refused = found[os.fsencode(slow_picture)]
    assert isinstance(refused, Failure)
    assert refused.reason is FailureReason.TIMED_OUT
    assert "0.3 s" in refused.detail
    assert is_made(found[os.fsencode(frame)])


def test_a_worker_that_yields_is_refused_by_the_time_it_used_a_core(
    tmp_path: Path, frame: Path, slow_picture: Path
) -> None:
    with pool_in(tmp_path, deadline_s=0.3, is_yielding=True) as pool:
        found = answers(pool, [task_for(slow_picture, tmp_path), task_for(frame, tmp_path)])
    refused = found[os.fsencode(slow_picture)]
    assert isinstance(refused, Failure)
    assert refused.reason is FailureReason.TIMED_OUT
    assert is_made(found[os.fsencode(frame)])


def test_a_worker_that_yields_may_wait_for_a_core_past_its_deadline(tmp_path: Path, slow_picture: Path) -> None:
    others = children()
    with pool_in(tmp_path, n_workers=1, deadline_s=5.0, is_yielding=True) as pool:
        pool.warm_up(1)
        (worker,) = children() - others
        waiting = threading.Timer(0.2, os.kill, (worker, signal.SIGSTOP))
        going_on = threading.Timer(6.2, os.kill, (worker, signal.SIGCONT))
        waiting.start()
        going_on.start()
        found = answers(pool, [task_for(slow_picture, tmp_path)])
        waiting.join()
        going_on.join()
    assert is_made(found[os.fsencode(slow_picture)])


@pytest.mark.parametrize("is_yielding", [True, False])
def test_workers_yield_if_they_are_told_and_their_parent_never_does(
    tmp_path: Path, frame: Path, *, is_yielding: bool
) -> None:
    ours, others = os.getpriority(os.PRIO_PROCESS, 0), children()
    with pool_in(tmp_path, n_workers=1, is_yielding=is_yielding) as pool:
        answers(pool, [task_for(frame, tmp_path)])
        (worker,) = children() - others
        assert os.getpriority(os.PRIO_PROCESS, worker) == min(19, ours + 10 * is_yielding)
        assert (os.getsid(worker) != os.getsid(0)) == is_yielding
    assert os.getpriority(os.PRIO_PROCESS, 0) == ours


def test_memory_past_the_limit_costs_its_row_only(tmp_path: Path, frame: Path, large_picture: Path) -> None:
    with pool_in(tmp_path, max_memory_bytes=256 * MEBIBYTE) as pool:
        found = answers(pool, [task_for(large_picture, tmp_path), task_for(frame, tmp_path)])
    refused = found[os.fsencode(large_picture)]
    assert isinstance(refused, RenderAnswer)  # the worker lives on
    assert {variant.reason for variant in refused.variants} == {FailureReason.OUT_OF_MEMORY}
    assert is_made(found[os.fsencode(frame)])


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS])
def test_a_crash_costs_the_source_its_row(
    tmp_path: Path, slow_picture: Path, kill_workers: Callable[[signal.Signals, int], None], number: signal.Signals
) -> None:
    kill_workers(number, 1)
    with pool_in(tmp_path) as pool:
        (refused,) = answers(pool, [task_for(slow_picture, tmp_path)]).values()
    assert isinstance(refused, Failure)
    assert refused.reason is FailureReason.CRASHED
    assert number.name in refused.detail


def test_a_source_whose_worker_was_killed_once_is_tried_again_alone(
    tmp_path: Path, slow_picture: Path, kill_workers: Callable[[signal.Signals, int], None]
) -> None:
    kill_workers(signal.SIGKILL, 1)
    with pool_in(tmp_path) as pool:
        (made,) = answers(pool, [task_for(slow_picture, tmp_path)]).values()
    assert is_made(made)


def test_and_refused_when_it_happens_twice(
    tmp_path: Path, slow_picture: Path, kill_workers: Callable[[signal.Signals, int], None]
) -> None:
    kill_workers(signal.SIGKILL, 2)
    with pool_in(tmp_path) as pool:
        (refused,) = answers(pool, [task_for(slow_picture, tmp_path)]).values()
    assert isinstance(refused, Failure)
    assert refused.reason is FailureReason.CRASHED


def test_a_worker_that_dies_idle_costs_nothing(tmp_path: Path, frame: Path) -> None:
    with pool_in(tmp_path, n_workers=1) as pool:
        assert is_made(answers(pool, [task_for(frame, tmp_path)]).popitem()[1])
        (worker,) = pool._idle
        worker.process.kill()
        worker.process.wait()
        assert is_made(answers(pool, [task_for(frame, tmp_path)]).popitem()[1])


def test_a_worker_that_answers_nonsense_costs_its_row_only(tmp_path: Path, frame: Path) -> None:
    with pool_in(tmp_path, n_workers=1) as pool:
        stand_in = [sys.executable, "-c", "import sys; sys.stdout.write('no answer at all' * 9)"]
        real, pool._start = pool._start, lambda: started(stand_in, real)  # type: ignore[method-assign]
        (refused,) = answers(pool, [task_for(frame, tmp_path)]).values()
        assert isinstance(refused, Failure)
        assert refused.reason is FailureReason.CRASHED
        pool._start = real  # type: ignore[method-assign]
        assert is_made(answers(pool, [task_for(frame, tmp_path)]).popitem()[1])


def started(program: list[str], real: Callable[[], object]) -> object:
    worker = real()
    worker.process.kill()  # type: ignore[attr-defined]
    worker.process.wait()  # type: ignore[attr-defined]
    for pipe in (worker.process.stdin, worker.process.stdout):  # type: ignore[attr-defined]
        pipe.close()
    worker.process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # type: ignore[attr-defined]
    return worker


def test_a_death_over_variants_is_looked_into_while_others_are_at_work(
    tmp_path: Path, slow_picture: Path, frame: Path
) -> None:
    expected = Expectation(source_n_bytes=1, source_mtime_ns=1, source_name_digest="0" * 32, spec=SMALL)
    single = ExamineTask(files=((os.fsencode(frame), expected),))
    with pool_in(tmp_path, n_workers=2) as pool:
        n_answers = 0
        for _ in pool.run([single, task_for(slow_picture, tmp_path), single]):
            for _, inner in pool.run([single]):
                assert isinstance(inner, ExamineAnswer)
                assert inner.files[0].reason is not None
            n_answers += 1
    assert n_answers == 3


def test_a_worker_loads_what_rendering_needs_and_nothing_of_the_pipeline_around_it() -> None:
    program = "import sys, thumb_pipeline.stages.workers.process; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", program], text=True).split()
    packages = {name.partition(".")[0] for name in loaded}
    assert not packages & {"dagster", "polars", "pyarrow", "pydantic", "typer", "numpy", "sqlalchemy"}
    assert "thumb_pipeline.stages.workers.pool" not in loaded


def test_no_worker_outlives_its_pool(tmp_path: Path, frame: Path, slow_picture: Path) -> None:
    before = children()
    with pool_in(tmp_path) as pool:
        for _ in pool.run([task_for(frame, tmp_path), task_for(slow_picture, tmp_path)]):
            break  # the other one is busy when the pool closes
    assert children() == before


def test_no_worker_outlives_the_process_of_its_pool(tmp_path: Path, slow_picture: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from thumb_pipeline_tests.stages.workers.pools import pool_in, task_for, children\n"
        "folder, picture = Path(sys.argv[1]), Path(sys.argv[2])\n"
        "with pool_in(folder) as pool:\n"
        "    answers = pool.run([task_for(picture, folder / str(n)) for n in range(4)])\n"
        "    next(answers); print(*children(), flush=True); list(answers)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path), str(slow_picture)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert workers
    deadline = time.monotonic() + 10
    while any(is_worker(pid) for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_worker(pid: int) -> bool:
    try:
        return b"thumb_pipeline.stages.workers.process" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_workers_that_a_signal_to_the_whole_group_ends_cost_no_source_a_row(
    tmp_path: Path, slow_picture: Path, kill_workers: Callable[[signal.Signals, int], None]
) -> None:
    kill_workers(signal.SIGTERM, 1)
    found = []
    with listening(), pool_in(tmp_path) as pool:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
        with pytest.raises(stopping.Stopped):
            found += list(pool.run([task_for(slow_picture, tmp_path)]))
    assert found == []


def test_what_was_answered_while_the_last_answer_was_recorded_is_no_loss_to_a_stop(tmp_path: Path) -> None:
    frames, found = [tmp_path / f"{number}.png" for number in range(2)], []
    for frame in frames:
        Image.linear_gradient("L").resize((3000, 2000)).convert("RGB").save(frame)

    def record_all(pool: WorkerPool) -> None:
        for _, answer in pool.run(task_for(frame, tmp_path) for frame in frames):
            found.append(answer)
            with stopping.finishing():
                if len(found) == 1:
                    os.kill(os.getpid(), signal.SIGTERM)
                    time.sleep(LONGER_THAN_A_STOP_WAITS_S)

    with listening(), pool_in(tmp_path) as pool, pytest.raises(stopping.Stopped):
        record_all(pool)
    assert all(map(is_made, found))
    assert len(found) == 2


@contextmanager
def listening() -> Iterator[None]:
    """As in a run: SIGTERM asks for a stop."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with stopping.orderly():
        stopping.listen()
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
