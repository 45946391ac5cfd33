"""What an operator can have done to a library, for tests that do it in any order, and kill it at any moment.

An operation is added as one entry of `OPERATIONS`: a function of the opened library, and what must hold when it has
run to its end. Where it may write is checked for all of them alike.
"""

import contextlib
import fcntl
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thumb_pipeline.stages import recording, recovery, verdicts
from thumb_pipeline.stages.errors import REFUSALS
from thumb_pipeline.stages.library import Library, open_library
from thumb_pipeline.stages.plan import make_plan
from thumb_pipeline.stages.render import render_chunk
from thumb_pipeline.stages.selection import Selection
from thumb_pipeline.stages.verify import VerifiedPart, verified_timelapses
from thumb_pipeline.stages.verify import verify as verify_timelapses
from thumb_pipeline_tests.stages.naive_checker import Checked

STEP = "thumb_pipeline_tests.step"
"""An audit event: a moment between two changes of the disk at which an operation may be killed, too."""

_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.utime"}


@dataclass(frozen=True, kw_only=True, repr=False)
class Operation:
    """Something that is done to a library.

    Attributes:
        name: which; unique.
        carry_out: does it, from its fresh look at the library to its last record.
        left_undone: what it should have put right, of what the checker says after it ran to its end.
        may_write: whether it may write into variant folders; anything outside of them and of the state it never may.
        may_bring_back: whether it may put files into variant folders that nothing expects, as an undo does.
        also_writes: beginnings of paths, from the library's parent on, that are its own, such as "library/.trash/".
        may_remove: whether a file of these words by the checker before (see `word_before`) may be gone afterwards.
    """

    name: str
    carry_out: Callable[[Library], None]
    left_undone: Callable[[Checked], object]
    may_write: bool = False
    may_bring_back: bool = False
    also_writes: tuple[str, ...] = ()
    may_remove: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return self.name


def _generate(**selection: Any) -> Callable[[Library], None]:
    def carry_out(library: Library) -> None:
        with library.lease() as lease:
            dead = recovery.dead_leases(library)
            recovery.clean_up(library)
            recovery.forget(library, dead)
            plan = make_plan(library, Selection(**selection), lease)
            recording.record(library, plan)
            if not plan.rows.is_empty():
                render_chunk(library, plan.rows, lease, run_id="r", on_source=lambda _: sys.audit(STEP))

    return carry_out


def verify(library: Library) -> VerifiedPart | None:
    """Verifies a small library, and keeps the verdict; None of one without timelapses."""
    with library.lease() as lease:
        parts = list(verify_timelapses(library, verified_timelapses(library, ()), lease))
    for part in parts:
        verdicts.keep(library, part)
    assert len(parts) <= 1
    return parts[0] if parts else None


def _verify(library: Library) -> None:
    verify(library)


def _nothing(_: Checked) -> None:
    return None


def _to_be_made(checked: Checked) -> dict[Any, str]:
    return {who: word for who, word in checked.states.items() if word not in ("valid", "failed", "pending")}


_SUPERSEDES = frozenset({"predecessor", "temporary"})

OPERATIONS = (
    Operation(name="verify", carry_out=_verify, left_undone=_nothing),
    Operation(name="generate", carry_out=_generate(), left_undone=_to_be_made, may_write=True, may_remove=_SUPERSEDES),
    Operation(
        name="generate --accept-shrink",
        carry_out=_generate(accept_shrink=True),
        left_undone=_to_be_made,
        may_write=True,
        may_remove=_SUPERSEDES,
    ),
    Operation(
        name="generate --force --accept-shrink",
        carry_out=_generate(force=True, accept_shrink=True),
        left_undone=_to_be_made,
        may_write=True,
        may_remove=_SUPERSEDES,
    ),
    Operation(
        name="generate --retry-failed --accept-shrink",
        carry_out=_generate(retry_failed=True, accept_shrink=True),
        left_undone=_to_be_made,
        may_write=True,
        may_remove=_SUPERSEDES,
    ),
)


def carried_out(operation: Operation, root: Path) -> bool:
    """Whether an operation ran to its end; False if it was refused."""
    try:
        operation.carry_out(open_library(str(root)))
    except REFUSALS:
        return False
    return True


def killed(operation: Operation, root: Path, at_change: int) -> bool:
    """Starts an operation in a process that is killed just before its n-th change; False if it ended before.

    Returns when nothing of it lives any more.
    """
    starter = multiprocessing.get_context("forkserver")
    starter.set_forkserver_preload([__name__])  # imports once: a fork costs milliseconds
    process = starter.Process(target=_doomed, args=(operation.name, str(root), at_change))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    _wait_until_free(root)
    return process.exitcode != 0


def _doomed(name: str, root: str, at_change: int) -> None:
    left = at_change
    operation = next(operation for operation in OPERATIONS if operation.name == name)
    library = open_library(root)

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event == STEP or (_is_change(event, arguments) and os.fsdecode(arguments[0]).startswith(root)):
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    with contextlib.suppress(*REFUSALS):
        operation.carry_out(library)


def _is_change(event: str, arguments: tuple[Any, ...]) -> bool:
    if event == "open":
        return isinstance(arguments[0], str | bytes) and bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
    return event in _CHANGES


def _wait_until_free(root: Path) -> None:
    """Workers end with their parent, not before it."""
    deadline = time.monotonic() + 20
    for path in root.glob(".thumb_pipeline/leases/*.lease"):
        with open(path, "rb") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    assert time.monotonic() < deadline, f"{path} is still held"
                    time.sleep(0.002)
