"""Leases and locks live exactly as long as the processes that hold them."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from thumb_pipeline.storage import leases
from thumb_pipeline.storage.leases import LockTimeout, hold_lease, is_free, lock

pytestmark = pytest.mark.quick

HOLDER = """
import subprocess, sys
from thumb_pipeline.storage import leases
with leases.hold_lease(sys.argv[1]) as lease:
    leases.note(sys.argv[1], lease.id, "one\\ntwo")
    child = None
    if sys.argv[2] == "with a child":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], pass_fds=[lease.descriptor])
    print(lease.id, child.pid if child else 0, flush=True)
    sys.stdin.read()
"""


class Holder:
    """A process that holds a lease until it is told to end, perhaps with a child that inherited it."""

    def __init__(self, folder: Path, *, with_child: bool = False) -> None:
        how = "with a child" if with_child else "alone"
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, folder, how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.lease_id, child = self.process.stdout.readline().split()
        self.child = int(child)

    def end(self, number: int | None = None) -> None:
        if number is not None:
            self.process.send_signal(number)
        self.process.communicate()


def eventually_free(folder: Path, lease_id: str) -> bool:
    for _ in range(200):
        if is_free(str(folder), lease_id):
            return True
        time.sleep(0.01)
    return False


def test_a_lease_is_held_inside_its_block(tmp_path: Path) -> None:
    with hold_lease(str(tmp_path)) as lease:
        assert not is_free(str(tmp_path), lease.id)
        assert leases.find_abandoned(str(tmp_path)) == {}


def test_a_lease_given_back_leaves_nothing(tmp_path: Path) -> None:
    with hold_lease(str(tmp_path)) as lease:
        pass
    assert is_free(str(tmp_path), lease.id)
    assert os.listdir(tmp_path) == []


def test_a_lease_given_back_by_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), hold_lease(str(tmp_path)):
        raise KeyError
    assert os.listdir(tmp_path) == []


def test_leases_differ(tmp_path: Path) -> None:
    with hold_lease(str(tmp_path)) as one, hold_lease(str(tmp_path)) as other:
        assert one.id != other.id


def test_a_lease_nobody_ever_had_is_free(tmp_path: Path) -> None:
    assert is_free(str(tmp_path), "0" * 8)
    assert leases.find_abandoned(str(tmp_path / "absent")) == {}


def test_another_process_holds_its_lease_until_it_ends(tmp_path: Path) -> None:
    holder = Holder(tmp_path)
    assert not is_free(str(tmp_path), holder.lease_id)
    holder.end()
    assert is_free(str(tmp_path), holder.lease_id)
    assert leases.find_abandoned(str(tmp_path)) == {}


def test_a_killed_process_leaves_its_lease_abandoned_with_its_notes(tmp_path: Path) -> None:
    holder = Holder(tmp_path)
    holder.end(signal.SIGKILL)
    assert leases.find_abandoned(str(tmp_path)) == {holder.lease_id: ["one", "two"]}


def test_a_lease_is_held_until_the_last_process_that_inherited_it_has_ended(tmp_path: Path) -> None:
    holder = Holder(tmp_path, with_child=True)
    try:
        os.kill(holder.process.pid, signal.SIGKILL)
        holder.process.wait()
        assert not is_free(str(tmp_path), holder.lease_id)
        assert leases.find_abandoned(str(tmp_path)) == {}
    finally:
        os.kill(holder.child, signal.SIGKILL)
    assert eventually_free(tmp_path, holder.lease_id)
    holder.end()


def test_a_forgotten_lease_is_gone_and_may_be_forgotten_twice(tmp_path: Path) -> None:
    holder = Holder(tmp_path)
    holder.end(signal.SIGKILL)
    leases.forget(str(tmp_path), holder.lease_id)
    leases.forget(str(tmp_path), holder.lease_id)
    assert os.listdir(tmp_path) == []


def test_notes_keep_names_that_are_not_utf8(tmp_path: Path) -> None:
    with hold_lease(str(tmp_path)) as lease:
        leases.note(str(tmp_path), lease.id, os.fsdecode(b"/library/\xff"))
        fcntl_free = os.path.join(tmp_path, "0badf00d.lease")
        os.link(os.path.join(tmp_path, f"{lease.id}.lease"), fcntl_free)
    assert leases.find_abandoned(str(tmp_path)) == {"0badf00d": [os.fsdecode(b"/library/\xff")]}


def test_nobody_ever_sees_a_living_lease_as_abandoned(tmp_path: Path) -> None:
    seen: list[str] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            seen.extend(leases.find_abandoned(str(tmp_path)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(300):
        with hold_lease(str(tmp_path)):
            pass
    stop.set()
    watcher.join()
    assert seen == []


def test_a_lock_keeps_others_out_until_its_block_ends(tmp_path: Path) -> None:
    path = str(tmp_path / ".lock")
    with lock(path), pytest.raises(LockTimeout, match="end it, then repeat"), lock(path, timeout_s=0.02):
        pass
    with lock(path, timeout_s=0):
        pass


def test_a_lock_waits_for_its_turn(tmp_path: Path) -> None:
    path, order = str(tmp_path / ".lock"), []

    def later() -> None:
        with lock(path):
            order.append("second")

    with lock(path):
        waiter = threading.Thread(target=later)
        waiter.start()
        time.sleep(0.03)
        order.append("first")
    waiter.join()
    assert order == ["first", "second"]


def test_a_killed_process_gives_its_lock_back(tmp_path: Path) -> None:
    path = str(tmp_path / ".lock")
    program = (
        "import sys; from thumb_pipeline.storage.leases import lock\n"
        "with lock(sys.argv[1]): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    with pytest.raises(LockTimeout), lock(path, timeout_s=0):
        pass
    holder.kill()
    holder.communicate()
    with lock(path, timeout_s=1):
        pass
