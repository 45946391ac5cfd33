"""Runs commands in forks of one process that has imported everything: most of what a small command costs is importing.

What runs is the console script's own `main`, in a process of its own with its own arguments, environment, folder and
output. In the tier `long` no test uses it.
"""

import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from thumb_pipeline.cli.app import COMMANDS

_IMPORTED = (
    *("dagster", "dagster_postgres", "alembic.command", "psycopg2", "sqlalchemy.dialects.sqlite", "typer", "PIL.Image"),
    *("dagster._core.storage.sqlite_storage", "dagster._core.storage.noop_compute_log_manager"),
    *("dagster._core.run_coordinator.queued_run_coordinator", "dagster._core.launcher.default_run_launcher"),
    *(f"thumb_pipeline.cli.commands.{name}" for name in COMMANDS),
)

_IDLE_THREADS = {"jemalloc_bg_thd", "polars-ooc-clea"}
"""What importing Polars starts: the first give memory back, the other removes spilled files. A fork does without."""

_CHANGES_PYTHON = ("PYTHONPATH", "PYTHONHOME", "PYTHONHASHSEED", "PYTHONWARNINGS")
"""A process that was started before cannot take these over."""


class CommandServer:
    """The process from which commands are forked, and the way to ask it; `close` ends it."""

    def __init__(self, command: str, environment: dict[str, str]) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._environment = environment
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno()), command],
                pass_fds=[theirs.fileno()],
                env=environment,
                cwd=Path(__file__).parents[2],
            )

    def close(self) -> None:
        """Ends the process."""
        self._ours.close()
        self._process.wait(30)

    def can_run(self, environment: dict[str, str]) -> bool:
        """Whether a command with this environment would run here as it does when it is started."""
        return all(environment.get(name) == self._environment.get(name) for name in _CHANGES_PYTHON)

    def run(
        self, arguments: list[bytes], environment: dict[str, str], cwd: Path | None, files: list[int], timeout_s: float
    ) -> int:
        """Runs a command to its end; its exit code, as `subprocess` gives it.

        Args:
            arguments: without the name of the command.
            environment: all of its environment.
            cwd: its working directory; None for this process's.
            files: its standard input, output and error.
            timeout_s: how long it may take.

        Raises:
            TimeoutError: it took longer, and was killed.
        """
        asked = {
            "arguments": list(map(os.fsdecode, arguments)),
            "environment": environment,
            "cwd": str(cwd or Path.cwd()),
        }
        socket.send_fds(self._ours, [json.dumps(asked).encode()], files)
        pid = json.loads(self._ours.recv(100))
        self._ours.settimeout(timeout_s)
        try:
            status = json.loads(self._ours.recv(100))
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            self._ours.recv(100)
            raise
        return os.waitstatus_to_exitcode(status)


def serve(server: socket.socket, command: str) -> list[str] | None:
    """Forks a process for each command that is asked for; returns in the fork, and None at the end."""
    while True:
        message, files, _, _ = socket.recv_fds(server, 1 << 20, 3)
        if not message:
            return None
        if (pid := os.fork()) == 0:
            server.close()
            return _made_ready(json.loads(message), files, command)
        for file in files:
            os.close(file)
        server.send(json.dumps(pid).encode())
        server.send(json.dumps(os.waitpid(pid, 0)[1]).encode())


def _made_ready(asked: dict[str, object], files: list[int], command: str) -> list[str]:
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(str(asked["cwd"]))
    os.environ.clear()
    os.environ.update(asked["environment"])
    return [command, *asked["arguments"]]


def main() -> None:
    for name in _IMPORTED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    others = set(os.listdir("/proc/self/task")) - {str(os.getpid())}
    names = {Path(f"/proc/self/task/{task}/comm").read_text().strip() for task in others}
    assert names <= _IDLE_THREADS, f"a fork of a process with threads at work may stand still: {names}"
    with suppress(BrokenPipeError, ConnectionResetError):
        arguments = serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2])
    if arguments is not None:
        from thumb_pipeline.cli import main as run_command

        sys.argv, sys.modules["__main__"].__package__ = arguments, None  # from which Typer takes the command's name
        run_command()


if __name__ == "__main__":
    main()
