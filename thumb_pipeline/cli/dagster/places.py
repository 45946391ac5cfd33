"""The folders that `up` depends on: without its state it ends, without the library captures wait.

`stages.library.service_folders` makes sure that no process recreates a folder that is gone.
"""

import contextlib
import os
import subprocess
import time

from thumb_pipeline.cli.console import say
from thumb_pipeline.cli.dagster.instance import InstanceUnusable
from thumb_pipeline.domain.layout import SETTINGS_NAME
from thumb_pipeline.domain.paths import inside
from thumb_pipeline.stages.library.library import Library

_LEAST_FREE_BYTES = 1 << 20
_ANSWER_S = 30.0
_END_S = 1.0


class StateGone(InstanceUnusable):
    """The folder that `up` works in is gone, or another folder is in its place."""


class Places:
    """Checks these folders from time to time, and reports each change once."""

    def __init__(self, library: Library) -> None:
        self._state = library.state
        self._folders = {path: _read_identity(path) for path in (library.state, library.dagster_home)}
        self._settings = _Presence(inside(library.root, SETTINGS_NAME))
        self._last_disk_trouble = ""
        self._last_library_trouble = ""

    def refuse_other_state(self) -> None:
        """Checks in each round of `up` that its state folders are the same: the services write by path in any case.

        Raises:
            StateGone: one of the folders was renamed, deleted, unmounted or replaced.
        """
        for path, began_as in self._folders.items():
            try:
                became = _read_identity(path)
            except (FileNotFoundError, NotADirectoryError):
                raise StateGone(_gone_message(path, "is gone (renamed, deleted or unmounted)")) from None
            except OSError:
                continue  # `tell` reports it, and it may pass
            if became != began_as:
                raise StateGone(_gone_message(path, "is another folder than before (replaced, mounted or unmounted)"))

    def tell(self) -> None:
        """Prints what is wrong with a disk, and when it is right again; nothing else can report it."""
        self._last_disk_trouble = _say_news(
            self._check_disk(), self._last_disk_trouble, f"the disk of {self._state} is as it should be again"
        )
        path = self._settings.path
        self._last_library_trouble = _say_news(
            self._settings.trouble(), self._last_library_trouble, f"{path} is back; captures are followed again"
        )

    def close(self) -> None:
        """Ends the process that checks the library."""
        self._settings.close()

    def _check_disk(self) -> str:
        try:
            status = os.statvfs(self._state)
        except OSError as error:
            return f"{self._state} cannot be read ({error.strerror}); check that disk"
        is_full = status.f_bavail * status.f_frsize < _LEAST_FREE_BYTES
        return f"the disk of {self._state} is full; free space on it: new captures wait until then" if is_full else ""


class _Presence:
    """Checks in another process whether a file is there: a disk that hangs would hang the process that checks."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._probe: subprocess.Popen[bytes] | None = None
        self._probe_began_s = 0.0
        self._trouble = ""

    def trouble(self) -> str:
        """Returns what the last check found wrong, empty if nothing, and starts the next check."""
        code = None if self._probe is None else self._probe.poll()
        if code is not None:
            gone = f"{self.path} is gone: mount its disk, or put it back; captures wait until then"
            self._probe, self._trouble = None, gone if code else ""
        if self._probe is None:
            self._probe = subprocess.Popen(["test", "-f", self.path], stdin=subprocess.DEVNULL)  # noqa: S603, S607
            self._probe_began_s = time.monotonic()
        elif time.monotonic() - self._probe_began_s > _ANSWER_S:
            self._trouble = f"{self.path} does not answer: check its disk; captures wait until then"
        return self._trouble

    def close(self) -> None:
        """Kills the process that checks; one that hangs on a disk ends when the disk answers."""
        if self._probe is not None:
            self._probe.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._probe.wait(_END_S)


def _say_news(trouble: str, last_trouble: str, all_clear: str) -> str:
    if trouble != last_trouble:
        say(trouble or all_clear)
    return trouble


def _read_identity(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _gone_message(path: str, what: str) -> str:
    return (
        f"{path}, in which up worked, {what}, so its services were ended; "
        "put it back and start up again, or start up with the library where it is now"
    )
