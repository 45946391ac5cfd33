"""`thumb-pipeline up`: the web UI and the daemon of a library, on this machine only, until Ctrl-C.

It holds the options and the messages; the processes themselves are in `services`.
"""

import contextlib
import fcntl
import os
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Annotated

import typer

from thumb_pipeline.cli.console import (
    JsonOption,
    LibraryOption,
    complain,
    open_in_force_library,
    print_json,
    say,
    say_trouble,
)
from thumb_pipeline.cli.dagster.instance import InstanceUnusable, refuse_long_path, up_lock
from thumb_pipeline.cli.dagster.runs import make_instance
from thumb_pipeline.cli.dagster.services import HOST, Services
from thumb_pipeline.stages.library.errors import REFUSALS
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.library.refused import Refused

_PORTS_TRIED = 50
_START_S = 60.0
_ANSWER_S = 30.0
_MISDIRECTED = 421


def up(
    library: LibraryOption = None,
    port: Annotated[
        int, typer.Option("--port", min=1, max=65_535, help="Where to start looking for a free port.")
    ] = 3000,
    json: JsonOption = False,
) -> None:
    """Start a library's web UI and daemon; Ctrl-C stops both."""
    opened = open_in_force_library(library)
    say_trouble(opened)
    refuse_long_path(opened)
    with _hold_up_lock(opened):
        make_instance(opened)
        chosen = _free_port(port)
        with Services(opened, chosen, free_daemon=lambda: _free_daemon(opened)) as services:
            _serve(services, json=json)


def _free_daemon(library: Library) -> None:
    """Frees ticks that a clock set back holds up, by opening the instance; reports a database that is away."""
    try:
        make_instance(library)
    except (*REFUSALS, InstanceUnusable) as unusable:
        complain(str(unusable))


@contextlib.contextmanager
def _hold_up_lock(library: Library) -> Iterator[None]:
    """Holds a lock that ends with this process: Dagster does not support two daemons on one instance."""
    library.claim_state()
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
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise Refused(f"no free port from {first} on; choose another with --port")


def _serve(services: Services, *, json: bool) -> None:
    """Prints the page's address once it answers; then restarts services until we are stopped or one is given up."""
    signal.signal(signal.SIGTERM, _interrupt)
    say(f"starting the web UI and the daemon (their log: {services.log}) …")
    try:
        _wait_until_it_answers(services)
        refuse_unguarded(services.url)
        if json:
            print_json({"url": services.url, "pids": services.pids, "log": services.log})
            sys.stdout.flush()
        else:
            say(f"{services.url} is up; Ctrl-C stops it")
        while True:
            services.attend()
            time.sleep(0.5)
    except KeyboardInterrupt:
        say("stopping …")


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _wait_until_it_answers(services: Services) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        services.refuse_ended()
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{services.url}/server_info", timeout=5).close()  # noqa: S310 -- loopback
            return
        time.sleep(0.2)
    raise Refused(f"the web UI did not answer within {_START_S:.0f} s; look into {services.log}")


def refuse_unguarded(url: str) -> None:
    """Checks that the page refuses a foreign host name: another version of Dagster might serve it without the guard.

    Raises:
        Refused: the page answers.
    """
    request = urllib.request.Request(f"{url}/server_info", headers={"Host": "another-site.invalid"})  # noqa: S310
    try:
        urllib.request.urlopen(request, timeout=_ANSWER_S).close()  # noqa: S310 -- loopback
    except urllib.error.HTTPError as refused:
        refused.close()
        if refused.code == _MISDIRECTED:
            return
    raise Refused(
        "the web UI answers to any name, so any web page could launch jobs; install the pinned packages again"
    )
