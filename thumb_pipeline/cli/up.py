"""`thumb-pipeline up`: the web UI and the daemon of a library, on this machine only, until Ctrl-C.

The processes are Dagster's own commands; this module starts, watches and ends them.
"""

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
from collections.abc import Iterator
from typing import Annotated

import typer

from thumb_pipeline.cli.console import (
    LIBRARY_VARIABLE,
    JsonOption,
    LibraryOption,
    library_in_force,
    print_json,
    say,
    say_trouble,
)
from thumb_pipeline.cli.instance import up_lock, workspace_file
from thumb_pipeline.stages.library import Library, Refused
from thumb_pipeline.stages.recovery import die_with_parent

_HOST = "127.0.0.1"  # the open-source UI has no login: every button is open to whoever reaches the port
_LOG = "up.log"
_PORTS_TRIED = 50
_START_S = 60.0
_END_S = 5.0


def up(
    library: LibraryOption = None,
    port: Annotated[
        int, typer.Option("--port", min=1, max=65_535, help="Where to start looking for a free port.")
    ] = 3000,
    json: JsonOption = False,
) -> None:
    """Start a library's web UI and daemon; Ctrl-C stops both."""
    opened = library_in_force(library)
    say_trouble(opened)
    with _only_one(opened):
        _make_instance(opened)
        chosen = _free_port(port)
        services = _start(opened, chosen)
        try:
            _serve(services, chosen, os.path.join(opened.state, _LOG), json=json)
        finally:
            _end(services)


def _make_instance(library: Library) -> None:
    from thumb_pipeline.cli.runs import make_instance

    make_instance(library)


@contextlib.contextmanager
def _only_one(library: Library) -> Iterator[None]:
    """Two daemons on one instance are not supported by Dagster; a lock that dies with us prevents them."""
    os.makedirs(library.dagster_home, exist_ok=True)
    with open(up_lock(library), "w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(
                f"up is already running for {library.root}; use its page, or stop it with Ctrl-C where it runs"
            ) from None
        yield


def _free_port(first: int) -> int:
    for port in range(first, min(first + _PORTS_TRIED, 65_536)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_HOST, port))
            except OSError:
                continue
            return port
    raise Refused(f"no free port from {first} on; choose another with --port")


def _start(library: Library, port: int) -> dict[str, subprocess.Popen[bytes]]:
    environment = {
        **os.environ,
        "DAGSTER_HOME": library.dagster_home,
        LIBRARY_VARIABLE: library.root,
        "PYTHONUNBUFFERED": "1",
        # A tick that meets a huge folder on a slow disk takes longer than Dagster's minute.
        "DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS": "300",
    }
    workspace = ["-w", workspace_file(library)]
    commands = {
        "web UI": ["dagster-webserver", "-h", _HOST, "-p", str(port), *workspace],
        "daemon": ["dagster-daemon", "run", *workspace],
    }
    scripts = sysconfig.get_path("scripts")
    log = open(os.path.join(library.state, _LOG), "ab")  # noqa: SIM115 -- inherited by the services
    with log:
        return {
            name: subprocess.Popen(  # noqa: S603 -- Dagster's own commands, our own arguments
                [sys.executable, os.path.join(scripts, command[0]), *command[1:]],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_prepare_service,  # noqa: PLW1509 -- this process has no threads
            )
            for name, command in commands.items()
        }


def _prepare_service() -> None:
    """A script's background job starts with SIGINT ignored, and Dagster then ignores SIGTERM as well."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _serve(services: dict[str, subprocess.Popen[bytes]], port: int, log: str, *, json: bool) -> None:
    """Says where the page is once it answers, then waits until somebody stops us or a service ends by itself."""
    signal.signal(signal.SIGTERM, _interrupt)
    url = f"http://{_HOST}:{port}"
    say(f"starting the web UI and the daemon (their log: {log}) …")
    try:
        _wait_until_it_answers(services, url, log)
        if json:
            print_json({"url": url, "pids": {name: service.pid for name, service in services.items()}, "log": log})
            sys.stdout.flush()
        else:
            say(f"{url} is up; Ctrl-C stops it")
        while True:
            _refuse_ended(services, log)
            time.sleep(0.5)
    except KeyboardInterrupt:
        say("stopping …")


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _wait_until_it_answers(services: dict[str, subprocess.Popen[bytes]], url: str, log: str) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        _refuse_ended(services, log)
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{url}/server_info", timeout=5).close()  # noqa: S310 -- loopback
            return
        time.sleep(0.2)
    raise Refused(f"the web UI did not answer within {_START_S:.0f} s; look into {log}")


def _refuse_ended(services: dict[str, subprocess.Popen[bytes]], log: str) -> None:
    for name, service in services.items():
        if service.poll() is not None:
            raise Refused(f"the {name} ended by itself (exit code {service.returncode}); look into {log}")


def _end(services: dict[str, subprocess.Popen[bytes]]) -> None:
    """Asks each service's whole process group to end, and after a few seconds makes it."""
    for service in services.values():
        _signal_group(service, signal.SIGTERM)
    deadline = time.monotonic() + _END_S
    for service in services.values():
        with contextlib.suppress(subprocess.TimeoutExpired):
            service.wait(max(0.1, deadline - time.monotonic()))
    for service in services.values():
        _signal_group(service, signal.SIGKILL)  # its code server too, if that is still there
        service.wait()


def _signal_group(service: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(service.pid, number)
