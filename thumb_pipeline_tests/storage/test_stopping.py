import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from thumb_pipeline.storage import stopping
from thumb_pipeline.storage.leases import lock

pytestmark = pytest.mark.quick


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def ask(number: signal.Signals = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_changes_nothing_until_work_looks(number: signal.Signals) -> None:
    with stopping.orderly():
        stopping.listen()
        stopping.look()
        ask(number)
        assert stopping.asked_for_s() is not None
        with pytest.raises(stopping.Stopped):
            stopping.look()


def test_a_stop_belongs_to_one_run() -> None:
    with stopping.orderly():
        stopping.listen()
        ask()
    assert stopping.asked_for_s() is None
    stopping.look()


def test_the_next_step_of_a_stopped_run_does_not_begin() -> None:
    with stopping.orderly():
        stopping.listen()
        ask()
        with pytest.raises(stopping.Stopped):
            stopping.listen()


def test_outside_a_run_signals_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    stopping.listen()
    assert signal.getsignal(signal.SIGINT) is before


def test_recording_is_not_interrupted() -> None:
    with stopping.orderly():
        stopping.listen()
        ask()
        with stopping.finishing():
            stopping.look()
        with pytest.raises(stopping.Stopped):
            stopping.look()


def test_who_waits_for_a_lock_stops(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    with stopping.orderly(), lock(path):
        stopping.listen()
        threading.Timer(0.1, ask).start()
        with pytest.raises(stopping.Stopped), lock(path):
            pytest.fail("somebody else holds it")


_BEGIN = "import os\nfrom thumb_pipeline.storage import stopping\n"
_LOST = """
class Callback:
    def __del__(self):
        while not asked():
            pass

def asked():
    return (stopping.asked_for_s() or 0) > 2.6  # what is raised in here is printed, and lost

with stopping.orderly():
    stopping.listen()
    print("ready", flush=True)
    Callback()
    while True:
        sum(range(1000))
"""
_BLOCKED = """
with stopping.orderly():
    stopping.listen()
    print("ready", flush=True)
    os.read(os.pipe()[0], 1)
"""


@pytest.mark.parametrize("work", [_LOST, _BLOCKED], ids=["an exception that is lost", "a call that blocks"])
def test_work_that_never_looks_is_interrupted_until_it_ends(work: str) -> None:
    process = subprocess.Popen([sys.executable, "-c", _BEGIN + work], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert b"Stopped: stopped; what was finished is kept" in said
