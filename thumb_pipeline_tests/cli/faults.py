"""Commands in a process of their own whose system calls fail, one after the other, as Python's audit events see them.

What a native library calls is not seen; small disks and other users are for that.
"""

import contextlib
import errno
import io
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thumb_pipeline.cli.app import main
from thumb_pipeline_tests.forks import fork_starter

_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.utime"}
_READS = {"os.scandir", "os.listdir", "open"}


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A command that ended: its exit code, what it printed and said, and which call had failed on the way, if any."""

    code: int
    out: str
    err: str
    fault: str = ""


@dataclass
class _Trap:
    """Fails at the n-th event below a folder while it is armed."""

    root: str = ""
    strike: Callable[[str], None] = print
    only_changes: bool = False
    left: int = 0
    struck: str = ""
    seen: list[str] = field(default_factory=list)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.left or event not in _CHANGES | _READS or not isinstance(arguments[0], str | bytes):
            return
        path = os.fsdecode(arguments[0])
        is_change = event in _CHANGES or (event == "open" and bool(arguments[2] & (os.O_WRONLY | os.O_RDWR)))
        if not path.startswith(self.root) or (self.only_changes and not is_change):
            return
        self.left -= 1
        if not self.left:
            self.struck = f"{event} {path.removeprefix(self.root)}"
            self.strike(path)


def run_main(*arguments: str) -> Ended:
    """A command in this process."""
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["thumb-pipeline", *arguments]
    code: object = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as ended:
        code = ended.code or 0
    finally:
        sys.argv = before
    return Ended(code=int(str(code)), out=out.getvalue(), err=err.getvalue())


def elsewhere(target: Callable[..., Any], *arguments: Any) -> Any:
    """What a function of a test module returns in a process of its own."""
    starter = fork_starter()
    mine, theirs = starter.Pipe(duplex=False)
    process = starter.Process(target=_answer, args=(theirs, target, arguments))
    process.start()
    theirs.close()
    try:
        answer = mine.recv()
    finally:
        process.join()
        mine.close()
    return answer


def _answer(connection: Any, target: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    connection.send(target(*arguments))


def with_each_fault(template: Path, fault: str, *arguments: str) -> list[tuple[Ended, Ended, bool]]:
    """Runs a command on a fresh copy of a library again and again, until no call is left to fail.

    Args:
        template: the library.
        fault: EIO (any call fails once), ENOSPC (any change fails once), gone (the library is moved away before any
            call, and moved back when the command has ended).
        arguments: of the command, without `--library`.

    Returns:
        For each call: how the command ended, how it ended when it was repeated, and whether it had made a library's
        folder anew that was gone.
    """
    return elsewhere(_with_each_fault, str(template), fault, arguments)  # type: ignore[no-any-return]


def _with_each_fault(template: str, fault: str, arguments: tuple[str, ...]) -> list[tuple[Ended, Ended, bool]]:
    trap, root = _Trap(), template + "-copy"
    sys.addaudithook(trap)
    found = []
    for number in range(1, 1000):
        shutil.copytree(template, root, symlinks=True)
        trap.root, trap.strike, trap.only_changes = root, _strikes(fault, root), fault == "ENOSPC"
        trap.left, trap.struck = number, ""
        ended = run_main(*arguments, "--library", root)
        trap.left = 0
        if not trap.struck:
            shutil.rmtree(root)
            return found
        is_ghost = fault == "gone" and os.path.exists(root)
        if is_ghost:
            shutil.rmtree(root)
        if fault == "gone":
            os.rename(root + "-gone", root)
        again = run_main(*arguments, "--library", root)
        found.append((Ended(code=ended.code, out=ended.out, err=ended.err, fault=trap.struck), again, is_ghost))
        shutil.rmtree(root)
    raise AssertionError("no end of calls")


def _strikes(fault: str, root: str) -> Callable[[str], None]:
    def fail(path: str) -> None:
        number = getattr(errno, fault)
        raise OSError(number, os.strerror(number), path)

    def move_away(_: str) -> None:
        os.rename(root, root + "-gone")

    return move_away if fault == "gone" else fail


def handed_over(folder: Path) -> None:
    """Gives a folder to the user of `unprivileged`."""
    if os.geteuid() == 0:
        for top, folders, files in os.walk(folder):
            for name in (".", *folders, *files):
                os.chown(os.path.join(top, name), 65534, 65534, follow_symlinks=False)


def unprivileged(*arguments: str) -> Ended:
    """A command by a user for whom permissions hold: `nobody` where we are root, who reads everything."""
    ended: Ended = elsewhere(_unprivileged, arguments)
    sys.stderr.write(ended.err)  # whole, where pytest shortens it
    return ended


def _unprivileged(arguments: tuple[str, ...]) -> Ended:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
    return run_main(*arguments)
