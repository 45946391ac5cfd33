"""The services of `up`, which are Dagster's own commands: starts them, restarts those that ended, and ends them all.

A service that was killed, for example by a kernel short of memory, is restarted without anybody's help. A service that
ends soon after every start is given up. Options and messages of the command are in `up`.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from thumb_pipeline.cli.console import say
from thumb_pipeline.cli.dagster import code_server
from thumb_pipeline.cli.dagster.event_batches import with_batches
from thumb_pipeline.cli.dagster.instance import workspace_file
from thumb_pipeline.cli.dagster.places import Places, StateGone
from thumb_pipeline.domain.paths import inside
from thumb_pipeline.domain.quantities import human_seconds
from thumb_pipeline.stages.library.clean_up import die_with_parent
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline.stages.library.service_folders import LIBRARY_VARIABLE

HOST = "127.0.0.1"  # the open-source UI has no login: anybody who reaches the port can press every button

_MODULE = ("-P", "-m")  # by name; with -P, no file of the current folder can shadow a module
_LOG = "up.log"
_PAGE = "web UI"
_DAEMON = "daemon"
_END_S = 5.0
_SHORT_LIFE_S = 60.0
_PAUSES_S = (1.0, 2.0, 5.0, 10.0, 30.0)
_LOOK_EVERY_S = 5.0
_SET_BACK_S = 60.0


def pause_before_restart_s(n_short_lives: int) -> float | None:
    """Seconds to wait before a service is restarted; None if it is given up.

    Args:
        n_short_lives: how often in a row it ended within a minute of its start, this time included.
    """
    if n_short_lives > len(_PAUSES_S):
        return None
    return _PAUSES_S[max(0, n_short_lives - 1)]


@dataclass(slots=True)
class _Service:
    """One service: its command, its current process, and its restarts.

    Attributes:
        due_s: when it is to be restarted, by the monotonic clock; None while it runs.
        pid_with_code: the last process that was seen to have a code server.
        is_asked: whether its process was asked to end.
        groups: process groups of its earlier processes; runs in them may outlive their daemon.
    """

    command: list[str]
    process: subprocess.Popen[bytes]
    started_s: float
    n_short_lives: int = 0
    due_s: float | None = None
    pid_with_code: int = 0
    is_asked: bool = False
    groups: set[int] = field(default_factory=set)


class Services:
    """The web UI and the daemon of a library; leaving the context ends them."""

    def __init__(self, library: Library, port: int, *, free_daemon: Callable[[], None] = lambda: None) -> None:
        """Starts both.

        Args:
            library: the library.
            port: port of the page.
            free_daemon: called before the daemon is restarted after the clock went back; frees what waits.
        """
        self.log = inside(library.state, _LOG)
        self.url = f"http://{HOST}:{port}"
        self._places = Places(library)
        self._last_look_s = time.monotonic()
        self._clock_s = time.time() - time.monotonic()
        self._free_daemon, self._is_set_back = free_daemon, False
        self._environment = _environment(library)
        workspace = ["-w", workspace_file(library)]
        commands = {
            _PAGE: [*_MODULE, "thumb_pipeline.cli.dagster.page", "-h", HOST, "-p", str(port), *workspace],
            _DAEMON: [*_MODULE, "thumb_pipeline.cli.dagster.daemon", "run", *workspace],
        }
        self._services = {
            name: _Service(command, self._start_process(name, command), time.monotonic())
            for name, command in commands.items()
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *raised: object) -> None:
        self._end(within_s=0.0 if kind is StateGone else _END_S)
        self._places.close()

    @property
    def pids(self) -> dict[str, int]:
        """The pid of each service's current process."""
        return {name: service.process.pid for name, service in self._services.items()}

    def refuse_ended(self) -> None:
        """Checks, until the page has answered, that no service has ended: one that ends so early is set up wrongly.

        Raises:
            Refused: a service ended by itself.
            StateGone: the state folder is gone, or another one.
        """
        self._places.refuse_other_state()
        for name, service in self._services.items():
            if service.process.poll() is not None:
                raise Refused(f"the {name} {_how_it_ended(service.process)}; look into {self.log}")

    def attend(self) -> None:
        """Restarts services that ended by themselves, after a growing pause; to be called about twice a second.

        Raises:
            Refused: a service ends again and again.
            StateGone: the state folder is gone, or another one.
        """
        self._places.refuse_other_state()
        now_s = time.monotonic()
        for name, service in self._services.items():
            service.groups = {group for group in service.groups if _send_signal(group, 0)}
            if service.due_s is None and service.process.poll() is not None:
                service.due_s = now_s + self._pause_s(name, service, now_s)
            if service.due_s is not None and now_s >= service.due_s:
                self._free_after_set_back(name)
                service.process, service.started_s = self._start_process(name, service.command), now_s
                service.due_s, service.is_asked = None, False
        if now_s - self._last_look_s >= _LOOK_EVERY_S:
            self._last_look_s = now_s
            self._places.tell()
            self._look_after_code()
            self._look_after_clock()

    def _look_after_code(self) -> None:
        """Replaces code servers that were killed. The page never notices such a loss, the daemon after a minute."""
        for name, service in self._services.items():
            pid = service.process.pid
            if code_server.has_children(pid):
                service.pid_with_code = pid
            elif service.pid_with_code == pid and service.due_s is None:
                say(f"the code server of the {name} was killed; the {name} gets another")
                code_server.reload_code(self.url) if name == _PAGE else self._stop(service)

    def _look_after_clock(self) -> None:
        """Restarts the daemon if the clock was set back: it would wait until the wall clock has caught up."""
        clock_s = time.time() - time.monotonic()
        back_s, self._clock_s = self._clock_s - clock_s, clock_s
        if back_s > _SET_BACK_S:
            say(f"the clock went back by {human_seconds(back_s)}; the daemon is started again")
            self._is_set_back = True
            if self._services[_DAEMON].due_s is None:
                self._stop(self._services[_DAEMON])

    def _free_after_set_back(self, name: str) -> None:
        if name == _DAEMON and self._is_set_back:
            self._free_daemon()
            self._is_set_back = False

    def _stop(self, service: _Service) -> None:
        """Sends a service SIGTERM, and the second time SIGKILL; `attend` then restarts it."""
        service.process.send_signal(signal.SIGKILL if service.is_asked else signal.SIGTERM)
        service.is_asked = True

    def _pause_s(self, name: str, service: _Service, now_s: float) -> float:
        is_short = now_s - service.started_s < _SHORT_LIFE_S
        service.n_short_lives = service.n_short_lives + 1 if is_short else 0
        service.groups.add(service.process.pid)
        ended, pause_s = f"the {name} {_how_it_ended(service.process)}", pause_before_restart_s(service.n_short_lives)
        if pause_s is None:
            times = f"{service.n_short_lives} times in a row, each within a minute of its start"
            raise Refused(f"{ended}, {times}; look into {self.log}, then start up again")
        say(f"{ended}; it is started again in {pause_s:.0f} s (log: {self.log})")
        return pause_s

    def _start_process(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        with open(self.log, "ab") as log:
            return subprocess.Popen(  # noqa: S603 -- Dagster's own commands, our own arguments
                [sys.executable, *command],
                env=with_batches(self._environment, is_daemon=name == _DAEMON),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_prepare_service,  # noqa: PLW1509 -- this process has no threads
            )

    def _end(self, *, within_s: float) -> None:
        """Sends SIGTERM to each service's whole process group, and SIGKILL after `within_s` seconds at most."""
        groups = {group for service in self._services.values() for group in (service.process.pid, *service.groups)}
        for group in groups:
            _send_signal(group, signal.SIGTERM)
        deadline_s = time.monotonic() + within_s
        for service in self._services.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                service.process.wait(max(0.0, deadline_s - time.monotonic()))
        for group in groups:
            _send_signal(group, signal.SIGKILL)  # its code server too, if that is still there
        for service in self._services.values():
            service.process.wait()


def _environment(library: Library) -> dict[str, str]:
    return {
        **os.environ,
        "DAGSTER_HOME": library.dagster_home,
        LIBRARY_VARIABLE: library.root,
        "PYTHONUNBUFFERED": "1",
        # A tick that lists a huge folder on a slow disk takes longer than Dagster's default, a minute.
        "DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS": "300",
    }


def _prepare_service() -> None:
    """Runs in the new process: ties its life to ours, and restores the default handling of signals.

    A script's background job starts with SIGINT ignored, and Dagster then ignores SIGTERM as well.
    """
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _how_it_ended(process: subprocess.Popen[bytes]) -> str:
    code = process.returncode
    return f"was killed (signal {-code})" if code < 0 else f"ended by itself (exit code {code})"


def _send_signal(group: int, number: int) -> bool:
    """Sends a signal to a process group; returns whether the group exists.

    Groups are probed so often that no foreign group can have taken over the id of one that ended.
    """
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True
