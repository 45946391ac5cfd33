import contextlib
import os
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Collection, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from thumb_pipeline.cli.commands import up as serving
from thumb_pipeline.cli.dagster import services
from thumb_pipeline.stages.library.open import open_library
from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline_tests.cli.conftest import Archive, Run, first_port
from thumb_pipeline_tests.cli.other_site import ATTEMPTS, LAUNCH, status_of
from thumb_pipeline_tests.cli.page import asked, runs, status
from thumb_pipeline_tests.cli.served import Served, said_by_up, until, up

pytestmark = pytest.mark.daemon


@pytest.fixture
def served(archive: Archive) -> Iterator[Served]:
    """`up` on a library, once its page answers, with the port it asked for taken by somebody else."""
    with socket.socket() as taken:
        port = taken_port(taken)
        with up(archive, port) as served:
            assert served.url != f"http://127.0.0.1:{port}"
            yield served


def taken_port(taken: socket.socket) -> int:
    """A port that a socket listens on, below those that the system gives to whoever connects to something."""
    for port in range(first_port(3300), first_port(3400)):
        with contextlib.suppress(OSError):
            taken.bind(("127.0.0.1", port))
            taken.listen()
            return port
    raise AssertionError("no free port")


@pytest.mark.usefixtures("storage")
def test_the_page_shows_what_commands_did_and_obeys_no_other_site_and_ctrl_c_ends_everything(
    archive: Archive, run: Run, served: Served
) -> None:
    process = served.process
    archive.fill(2)
    done = run("generate", "--force", "--library", archive.root, "--json").json  # its sensor may have been faster
    assert _run_ids(served.url) == done["run_ids"]

    second = run("up", "--library", archive.root)
    assert second.code == 2
    assert "already running" in second.err

    assert_no_other_site_is_obeyed(served.url)

    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=15) == 0
    assert time.monotonic() - started < 10
    assert not any(_is_alive(pid) for pid in served.pids.values())


def assert_no_other_site_is_obeyed(url: str) -> None:
    until(lambda: _runs_can_be_planned(url), "code: what reached Dagster from now on would be carried out")
    assert {attempt.what: status_of(attempt, url) for attempt in ATTEMPTS} == {
        attempt.what: attempt.status for attempt in ATTEMPTS
    }
    assert _run_ids(url, "purge") == []
    run_id = asked(url, LAUNCH % "false")["run"]["runId"]
    until(lambda: status(url, run_id) == "SUCCESS", "the end of the run")
    assert _run_ids(url, "purge") == [run_id]


def test_services_do_not_outlive_a_killed_up(served: Served) -> None:
    process = served.process
    process.kill()
    process.wait()
    until(lambda: not any(_is_alive(pid) for pid in served.pids.values()), "the end of both services")


def _children(pid: int, *, but: Collection[int] = ()) -> list[int]:
    listed = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    children = [int(child) for some in listed for child in some]
    return [child for child in children if child not in but and _is_alive(child)]


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(f"{url}/server_info", timeout=5).close()
    except OSError:
        return False
    return True


def _run_ids(url: str, job: str = "generate") -> list[str]:
    """The runs of a job, all of which have succeeded."""
    found = runs(url, job=job)
    assert {run["status"] for run in found} <= {"SUCCESS"}
    return [run["runId"] for run in found]


def _is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_what_was_killed_is_started_again_and_all_end_when_the_library_is_renamed(
    archive: Archive, served: Served
) -> None:
    process = served.process
    for pid in served.pids.values():
        os.kill(pid, signal.SIGKILL)
    until(lambda: len(_children(process.pid, but=served.pids.values())) == 2, "new services")
    until(lambda: _answers(served.url), "the page")
    assert process.poll() is None

    assert_code_servers_come_back(served.url, process.pid)
    services = _children(process.pid)
    archive.root.rename(archive.root.parent / "renamed")
    assert process.wait(timeout=30) == 3
    assert not any(map(_is_alive, services))
    assert_nothing_is_made_in(archive.root)
    last = said_by_up(archive).read_text().splitlines()[-1]
    assert last.startswith(f"thumb-pipeline: {archive.root}/.thumb_pipeline, in which up worked, is gone (renamed")
    assert last.endswith("or start up with the library where it is now")


def assert_code_servers_come_back(url: str, pid: int) -> None:
    """Kills the code server of each service; the page loads the code again, the daemon is started again."""
    until(lambda: all(map(_children, _children(pid))), "code servers")
    time.sleep(6)  # `up` has seen them
    before = [server for service in _children(pid) for server in _children(service)]
    for server in before:
        os.kill(server, signal.SIGKILL)
    until(lambda: _runs_can_be_planned(url), "code that plans")
    until(lambda: len(_children(pid)) == 2, "both services")
    until(lambda: all(_children(service, but=before) for service in _children(pid)), "other code servers")


def assert_nothing_is_made_in(path: Path) -> None:
    deadline_s = time.monotonic() + 6  # longer than a round of Dagster's daemon
    while time.monotonic() < deadline_s:
        assert not path.exists()
        time.sleep(0.1)


def test_up_outlasts_its_library_and_ends_with_its_state(archive: Archive) -> None:
    settings, state = archive.root / "thumbs.toml", archive.root.parent / "state"
    settings.write_text(settings.read_text().replace('state = ".thumb_pipeline"', f'state = "{state}"'))
    gone = f"{settings} is gone: mount its disk, or put it back; captures wait until then"
    back = f"{settings} is back; captures are followed again"

    def said() -> list[str]:
        return said_by_up(archive).read_text().splitlines()[1:]

    with up(archive) as served:
        process = served.process
        archive.root.rename(archive.root.parent / "unmounted")
        until(lambda: gone in said(), "that it says so")
        assert_nothing_is_made_in(archive.root)
        assert _answers(served.url)
        (archive.root.parent / "unmounted").rename(archive.root)
        until(lambda: back in said(), "that it says so")
        state.rename(state.parent / "renamed")
        state.mkdir()
        assert process.wait(timeout=30) == 3
        assert_stays_empty(state)
    *before, last = said()
    assert before == [gone, back]
    assert f"{state}, in which up worked, is another folder than before" in last


def assert_stays_empty(folder: Path) -> None:
    time.sleep(3)
    assert list(folder.iterdir()) == []


def _runs_can_be_planned(url: str) -> bool:
    """Asks what only the code server can tell."""
    selector = 'repositoryLocationName: "thumb_pipeline", repositoryName: "__repository__", pipelineName: "generate"'
    plan = f'{{ executionPlanOrError(pipeline: {{{selector}}}, mode: "default") {{ __typename }} }}'
    try:
        return bool(asked(url, plan)["__typename"] == "ExecutionPlan")
    except OSError:
        return False


def test_a_service_that_ends_again_and_again_ends_up_and_says_so(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(services, "_PAUSES_S", (0.1, 0.1))
    library = open_library(str(archive.root))
    Path(library.dagster_home).mkdir(parents=True, exist_ok=True)
    Path(library.dagster_home, "dagster.yaml").write_text("no_such_key: 1\n")
    with services.Services(library, 3399) as started, pytest.raises(Refused, match="3 times in a row") as refused:
        _attend_for_ever(started)
    assert "up.log" in str(refused.value)
    assert "is started again in" in capfd.readouterr().err


def _attend_for_ever(started: services.Services) -> None:
    while True:
        started.attend()
        time.sleep(0.05)


def test_restarts_come_after_growing_pauses_and_stop_when_they_are_in_vain() -> None:
    assert [services.pause_before_restart_s(n) for n in range(7)] == [1, 1, 2, 5, 10, 30, None]


@pytest.mark.parametrize("is_guarded", [True, False])
def test_a_page_that_answers_to_any_name_is_not_up(is_guarded: bool) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(421 if is_guarded and self.headers["Host"] != own else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        own = f"127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with contextlib.nullcontext() if is_guarded else pytest.raises(Refused, match="answers to any name"):
            serving.refuse_unguarded(f"http://{own}")
        thread.join(20)
