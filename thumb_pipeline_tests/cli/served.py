"""`up` on a library, as tests use it: started, waited for, ended. What its page is asked is in `page`."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from thumb_pipeline_tests.cli.conftest import COMMAND, Archive, clean_environment, first_port

PATIENCE_S = 240.0
_END_S = 20.0
_PORT = 3400


@dataclass(frozen=True)
class Served:
    """A running `up`: its process, the address of its page, the process ids of its services by their names."""

    process: "subprocess.Popen[str]"
    url: str
    pids: dict[str, int]


@contextmanager
def up(archive: Archive, port: int | None = None) -> Iterator[Served]:
    """`up` once its page answers; it is asked to end in the end, as by Ctrl-C, and does.

    Raises:
        AssertionError: it did not start; with what it said.
    """
    command = [COMMAND, "up", "--library", str(archive.root), "--port", str(port or first_port(_PORT)), "--json"]
    with said_by_up(archive).open("ab") as terminal:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=terminal,
            text=True,
            env=clean_environment(),
            start_new_session=True,
        )
    pids: dict[str, int] = {}
    try:
        assert process.stdout is not None
        printed = "".join(iter(lambda: process.stdout.readline() or "}\n", "}\n")) + "}"
        assert len(printed) > 1, f"up did not start: {said_by_up(archive).read_text()}"
        document = json.loads(printed)
        pids = document["pids"]
        yield Served(process, document["url"], pids)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=_END_S)
        finally:
            for group in (process.pid, *pids.values()):
                with suppress(ProcessLookupError):
                    os.killpg(group, signal.SIGKILL)  # runs outlive an `up` that a test has killed


def said_by_up(archive: Archive) -> Path:
    """The file with what `up` says on its terminal."""
    return archive.root.parent / "up.txt"


def until(is_so: Callable[[], object], what: str) -> None:
    """Waits for something that is to come; fails, naming it, when it does not."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline_s, f"not within {PATIENCE_S:.0f} s: {what}"
        time.sleep(0.2)


def held_leases(archive: Archive) -> dict[str, set[str]]:
    """Processes that hold leases of this library, runs and their workers, each with the paths of these."""
    folder, found = str(archive.root / ".thumb_pipeline/leases"), {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        except OSError:
            continue  # it has just ended
        if held := {link for link in links if link.startswith(folder)}:
            found[pid] = held
    return found


def lease_holders(archive: Archive) -> list[str]:
    return list(held_leases(archive))
