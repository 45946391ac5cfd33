"""What a worker may use: memory, time and cores. It sets its limits itself, before it meets a picture.

Who is given which is in `examining.adopt.worker_orders`, what a death at a limit means in `pool`.
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
"""How many times longer a task may take in a worker that yields: about the share of a core that is left to it."""


def restrict(orders: WorkerOrders) -> None:
    """Limits this process: it dies with its parent, at its deadline, within its memory, and yields if it is to."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides what to stop
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_AS, (orders.max_memory_bytes, orders.max_memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    die_with_parent()
    if orders.is_yielding:
        _yield_cores()


def start_deadline(orders: WorkerOrders) -> None:
    """The kernel ends this process when its task takes too long.

    A worker that yields is not to blame for the time it waited for a core: its deadline counts what it used of one, and
    the clock on the wall ends only what waits for something that never comes.
    """
    if orders.is_yielding:
        signal.setitimer(signal.ITIMER_PROF, orders.deadline_s)
    signal.setitimer(signal.ITIMER_REAL, orders.deadline_s * (_SLOWED_BY if orders.is_yielding else 1.0))


def stop_deadline() -> None:
    """The task is done."""
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)


def _yield_cores() -> None:
    """Lets processes of other work go first; goes on without where the system does not let it.

    Only workers yield, never the process that records: it holds locks that new captures wait for. Where Linux shares
    the cores among sessions before it looks at single processes (autogroup), a session of its own has to be what
    yields, or a command in a terminal would get as much as all captures of a service.
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
    """Linux takes ten of these a second from all unprivileged processes together."""
    with open("/proc/self/autogroup", "w", encoding="ascii") as file:
        file.write(str(_NICE))
