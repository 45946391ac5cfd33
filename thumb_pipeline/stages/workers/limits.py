"""The limits of a worker: memory, time and cores. A worker sets its limits itself, before it opens a picture.

Both the values of the limits (`worker_orders`) and what follows when a worker ends at one are in `pool`.
"""

import contextlib
import os
import resource
import signal
import time

from thumb_pipeline.stages.workers.messages import WorkerOrders
from thumb_pipeline.storage.leases import die_with_parent

_NICE = 10
_AUTOGROUP_TRIES = 10
_AUTOGROUP_EVERY_S = 0.1
_SLOWED_BY = 10.0
"""How many times longer a task may take in a worker that yields: it may get only about a tenth of a core."""


def restrict(orders: WorkerOrders) -> None:
    """Limits the memory of this process, ends it with its parent or at its deadline, and yields cores if ordered."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides what to stop
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_AS, (orders.max_memory_bytes, orders.max_memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    die_with_parent()
    if orders.is_yielding:
        _yield_cores()


def start_deadline(orders: WorkerOrders) -> None:
    """Has the kernel end this process when its task takes too long.

    A worker that yields may wait long for a core. So its deadline counts CPU time, and its wall-clock deadline is
    longer and ends only a task that hangs.
    """
    if orders.is_yielding:
        signal.setitimer(signal.ITIMER_PROF, orders.deadline_s)
    signal.setitimer(signal.ITIMER_REAL, orders.deadline_s * (_SLOWED_BY if orders.is_yielding else 1.0))


def stop_deadline() -> None:
    """Stops the timers; the task is done."""
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)


def _yield_cores() -> None:
    """Lowers the priority of this process; continues without if the system does not allow it.

    Only workers yield, never the process that records: it holds locks that new captures wait for. With autogroup, Linux
    shares the cores among sessions first and among processes second. So the worker gets a session of its own with low
    priority; otherwise a command in a terminal would get as much CPU time as all captures of a service.
    """
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    with contextlib.suppress(OSError):
        os.setsid()
        for _ in range(_AUTOGROUP_TRIES):
            with contextlib.suppress(BlockingIOError):
                _nice_session()
                return
            time.sleep(_AUTOGROUP_EVERY_S)


def _nice_session() -> None:
    """Lowers the priority of this session; Linux allows ten such writes a second for all unprivileged processes."""
    with open("/proc/self/autogroup", "w", encoding="ascii") as file:
        file.write(str(_NICE))
