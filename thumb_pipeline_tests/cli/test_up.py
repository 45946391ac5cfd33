import json
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from thumb_pipeline_tests.cli.conftest import COMMAND, Archive, Run, clean_environment

pytestmark = pytest.mark.slow


@pytest.fixture
def up(archive: Archive) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """`up` on a library, once its page answers, with the port it asked for taken by somebody else."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = subprocess.Popen(
            [COMMAND, "up", "--library", str(archive.root), "--port", str(port), "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=clean_environment(),
            start_new_session=True,
        )
        assert process.stdout is not None
        printed = "".join(iter(process.stdout.readline, "}\n")) + "}"
        document = json.loads(printed)
        assert document["url"] != f"http://127.0.0.1:{port}"
        yield process, document
        process.kill()
        process.communicate()


@pytest.mark.usefixtures("storage")
def test_the_page_shows_what_commands_did_and_ctrl_c_ends_everything(
    archive: Archive, run: Run, up: tuple[subprocess.Popen[str], dict[str, Any]]
) -> None:
    process, document = up
    archive.fill(2)
    done = run("generate", "--force", "--library", archive.root, "--json").json  # its sensor may have been faster
    assert _run_ids(document["url"]) == done["run_ids"]

    second = run("up", "--library", archive.root)
    assert second.code == 2
    assert "already running" in second.err

    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=15) == 0
    assert time.monotonic() - started < 10
    assert not any(_is_alive(pid) for pid in document["pids"].values())


def test_services_do_not_outlive_a_killed_up(up: tuple[subprocess.Popen[str], dict[str, Any]]) -> None:
    process, document = up
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while any(_is_alive(pid) for pid in document["pids"].values()):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _run_ids(url: str) -> list[str]:
    query = json.dumps(
        {"query": '{ runsOrError(filter: {pipelineName: "generate"}) { ... on Runs { results { runId status } } } }'}
    ).encode()
    request = urllib.request.Request(f"{url}/graphql", query, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        runs = json.load(answer)["data"]["runsOrError"]["results"]
    assert {run["status"] for run in runs} == {"SUCCESS"}
    return [run["runId"] for run in runs]


def _is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
