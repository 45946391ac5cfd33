"""Says how many tests are done and how long the rest may take, in place of a dot for each. Asked for with `-q`."""

import time
from collections.abc import Generator

import pytest

_SAY_EVERY_S = 10.0


class Progress:
    """A plugin of pytest."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._n_done = 0
        self._started_s = self._said_s = time.monotonic()
        self._session: pytest.Session | None = None

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Remembers who knows how many there are; with several processes that is told later."""
        self._session = session

    @pytest.hookimpl(wrapper=True)
    def pytest_report_teststatus(self) -> Generator[None, tuple[str, str, str], tuple[str, str, str]]:
        """No letter for each test."""
        category, _, _ = yield
        return category, "", ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Names a test that failed at once; counts the others, and says it every few seconds."""
        if report.failed:
            self._write(f"FAILED {report.nodeid}")
        self._n_done += report.when == "teardown"
        now_s = time.monotonic()
        if now_s - self._said_s >= _SAY_EVERY_S and self._n_done and self._session is not None:
            self._said_s = now_s
            self._write(said(self._n_done, self._session.testscollected, now_s - self._started_s))

    def _write(self, line: str) -> None:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        assert reporter is not None
        reporter.write_line(line)


def said(n_done: int, n_tests: int, took_s: float) -> str:
    """The line, for example `200 of 400 tests in 1 min 30 s, about 1 min 30 s left`."""
    left_s = took_s / n_done * max(0, n_tests - n_done)
    return f"{n_done} of {n_tests} tests in {_duration(took_s)}, about {_duration(left_s)} left"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
