"""`up` on a library, as tests use it: started, asked over its page, ended."""

import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thumb_pipeline_tests.cli.conftest import COMMAND, Archive, clean_environment, first_port

PATIENCE_S = 240.0
_END_S = 20.0
_PORT = 3400
_SELECTOR = {"repositoryLocationName": "thumb_pipeline", "repositoryName": "__repository__"}


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


def asked(url: str, query: str, **variables: Any) -> Any:
    """What the page answers to a query of GraphQL."""
    body, kind = json.dumps({"query": query, "variables": variables}).encode(), {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{url}/graphql", body, kind), timeout=60) as answer:
        return json.load(answer)["data"]


def launch(url: str, job: str, config: dict[str, Any]) -> str:
    """Starts a run of a job, as the page's button does; the run's id."""
    answer = asked(
        url,
        "mutation($run: ExecutionParams!) { launchRun(executionParams: $run) "
        "{ ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }",
        run={"selector": {**_SELECTOR, "jobName": job}, "runConfigData": config},
    )
    return str(answer["launchRun"]["run"]["runId"])


def until(is_so: Callable[[], object], what: str) -> None:
    """Waits for something that is to come; fails, naming it, when it does not."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline_s, f"not within {PATIENCE_S:.0f} s: {what}"
        time.sleep(0.1)
