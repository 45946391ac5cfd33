"""What an operator can have done to a library, for tests that do it in any order, and kill it at any moment.

An operation is added as one entry of `OPERATIONS`: a function of the opened library, and what must hold when it has
run to its end. Where it may write is checked for all of them alike.
"""

import contextlib
import fcntl
import os
import signal
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from thumb_pipeline.domain import removals
from thumb_pipeline.stages.inventory.selection import Selection, find_timelapses
from thumb_pipeline.stages.library.errors import REFUSALS
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.library.open import open_library
from thumb_pipeline.stages.planning.plan import make_plan
from thumb_pipeline.stages.removal import journal
from thumb_pipeline.stages.removal.planned import RemovalWish
from thumb_pipeline.stages.removal.restore import restore
from thumb_pipeline.stages.removal.run import perform
from thumb_pipeline.stages.rendering import accept_plan
from thumb_pipeline.stages.rendering.after_killed import clean_up_after_killed
from thumb_pipeline.stages.rendering.chunk import render_chunk
from thumb_pipeline.stages.repair.repair import repair
from thumb_pipeline.stages.verification import verdicts
from thumb_pipeline.stages.verification.verify import VerifiedPart
from thumb_pipeline.stages.verification.verify import verify as verify_timelapses
from thumb_pipeline_tests.forks import fork_starter
from thumb_pipeline_tests.stages.naive_checker import Checked

STEP = "thumb_pipeline_tests.step"
"""An audit event: a moment between two changes of the disk at which an operation may be killed, too."""

_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.utime"}


_TRASH = "library/.thumb_pipeline-trash/"


class Keeps(Enum):
    """What an operation leaves as it was of every file of a variant folder or of the trash."""

    PLACE = "place"  # its bytes, mtime, and path, but for the beginning that leads into the trash
    BYTES = "bytes"  # its bytes and mtime
    NOTHING = "nothing"


def _everything(_: str, __: str) -> bool:
    return True


def _nothing_spared(_: str, __: str) -> bool:
    return False


@dataclass(frozen=True, kw_only=True)
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
        keeps: what of a file is the same afterwards wherever it lies, in a variant folder or in the trash; nothing of
            those that an operation makes again.
        spares: whether variants of this (timelapse, variant) that were valid are valid afterwards, also if killed.
    """

    name: str
    carry_out: Callable[[Library], None]
    left_undone: Callable[[Checked], object]
    may_write: bool = False
    may_bring_back: bool = False
    also_writes: tuple[str, ...] = ()
    may_remove: frozenset[str] = frozenset()
    keeps: Keeps = Keeps.PLACE
    spares: Callable[[str, str], bool] = _everything

    def _repr_pretty_(self, printer: Any, _: bool) -> None:
        """What hypothesis shows of it in a sequence that fails."""
        printer.text(f"<{self.name}>")


def _generate(**selection: Any) -> Callable[[Library], None]:
    def carry_out(library: Library) -> None:
        with library.lease() as lease:
            clean_up_after_killed(library)
            plan = make_plan(library, Selection(**selection), lease)
            accept_plan.record(library, plan)
            if not plan.rows.is_empty():
                render_chunk(library, plan.rows, lease, run_id="r", on_source=lambda _: sys.audit(STEP))

    return carry_out


def verify(library: Library, *, deep: bool = False) -> VerifiedPart | None:
    """Verifies a small library, and keeps the verdict; None of one without timelapses."""
    with library.lease() as lease:
        parts = list(verify_timelapses(library, find_timelapses(library, ()), lease, deep=deep))
    for part in parts:
        verdicts.keep(library, part)
    assert len(parts) <= 1
    return parts[0] if parts else None


def _verify(library: Library) -> None:
    verify(library)


def _verify_deep(library: Library) -> None:
    verify(library, deep=True)


def _repair(library: Library) -> None:
    with library.lease() as lease:
        repair(library, find_timelapses(library, ()), lease, apply=True, accept_shrink=True)


def _remove(removal: removals.Operation, **wish: Any) -> Callable[[Library], None]:
    def carry_out(library: Library) -> None:
        asked = RemovalWish(force=True, **wish)  # the brakes would hold in most libraries as small as these
        with library.lease() as lease:
            perform(library, removal, asked, str(uuid.uuid4()), lease)

    return carry_out


def _restore_last(library: Library) -> None:
    with library.lease() as lease, journal.lock_removals(library):
        runs = [journal.read(library, run_id) for run_id in journal.list_run_ids(library)]
        if runs:
            restore(library, max(runs, key=lambda run: run.began_at).run_id, lease)


def _nothing(_: Checked) -> None:
    return None


def _to_be_made(checked: Checked) -> dict[Any, str]:
    return {who: word for who, word in checked.states.items() if word not in ("valid", "failed", "pending")}


def _to_be_adopted(checked: Checked) -> list[Any]:
    return [who for who, word in checked.states.items() if word == "unrecorded"]


def _to_be_swept(checked: Checked) -> dict[Any, Any]:
    return {place: said for place, said in checked.orphans.items() if said[0] != "policy"}


def _all_orphans(checked: Checked) -> dict[Any, Any]:
    return checked.orphans


def _to_be_purged(key: str, variant: str) -> Callable[[Checked], object]:
    """Variants of a timelapse and a name, where those are given, that stand where they are expected."""

    def left(checked: Checked) -> dict[Any, int]:
        return {who: n for who, n in checked.found.items() if n and key in ("", who[0]) and variant in ("", who[1])}

    return left


_SUPERSEDES = frozenset({"predecessor", "temporary"})
_NOBODYS = frozenset({"source_gone", "spec_retired", "unparsable_name", "temporary"})
_ANY = _NOBODYS | {"policy", "predecessor", "expected"}
_PURGED_KEY, _PURGED_VARIANT = "camera-1/timelapse-1", "thumbnail"


def _generating(name: str, **selection: Any) -> Operation:
    return Operation(
        name=name,
        carry_out=_generate(**selection),
        left_undone=_to_be_made,
        may_write=True,
        may_remove=_SUPERSEDES,
        keeps=Keeps.NOTHING,
        spares=_nothing_spared,  # between a file that is made again and its record, nothing vouches for it
    )


def _removing(name: str, carry_out: Callable[[Library], None], **said: Any) -> Operation:
    return Operation(name=name, carry_out=carry_out, may_write=True, also_writes=(_TRASH,), **said)


GENERATE = _generating("generate")
GENERATE_ACCEPTING = _generating("generate --accept-shrink", accept_shrink=True)

REMOVALS = (
    _removing("sweep", _remove(removals.Operation.SWEEP), left_undone=_to_be_swept, may_remove=_NOBODYS),
    _removing(
        "sweep --policy",
        _remove(removals.Operation.SWEEP, by_policy=True),
        left_undone=_all_orphans,
        may_remove=_NOBODYS | {"policy"},
    ),
    _removing(
        "purge --timelapse",
        _remove(removals.Operation.PURGE, timelapses=(_PURGED_KEY,)),
        left_undone=_to_be_purged(_PURGED_KEY, ""),
        may_remove=_ANY,
        spares=lambda key, _: key != _PURGED_KEY,
    ),
    _removing(
        "purge --variant",
        _remove(removals.Operation.PURGE, variants=(_PURGED_VARIANT,)),
        left_undone=_to_be_purged("", _PURGED_VARIANT),
        may_remove=_ANY,
        spares=lambda _, variant: variant != _PURGED_VARIANT,
    ),
)
"""What moves files to the trash; each can be undone, killed or not."""

RESTORE = _removing("restore", _restore_last, left_undone=_nothing, may_bring_back=True)

OPERATIONS = (
    Operation(name="verify", carry_out=_verify, left_undone=_nothing),
    Operation(
        name="verify --deep",
        carry_out=_verify_deep,
        left_undone=_nothing,
        spares=_nothing_spared,  # it finds what is rotten and seemed to be valid
    ),
    GENERATE,
    GENERATE_ACCEPTING,
    _generating("generate --force --accept-shrink", force=True, accept_shrink=True),
    _generating("generate --retry-failed --accept-shrink", retry_failed=True, accept_shrink=True),
    Operation(
        name="repair --apply --accept-shrink",
        carry_out=_repair,
        left_undone=_to_be_adopted,
        may_write=True,
        may_remove=_ANY - {"expected"},
        keeps=Keeps.BYTES,
    ),
    *REMOVALS,
    RESTORE,
)


def carried_out(operation: Operation, root: Path) -> bool:
    """Whether an operation ran to its end; False if it was refused."""
    try:
        operation.carry_out(open_library(str(root)))
    except REFUSALS:
        return False
    return True


def lying(everything: dict[str, tuple[str, int]], keeps: Keeps) -> Counter[object]:
    """The files of `World.everything` outside of `frames/`, as far as an operation keeps them as they are."""
    if keeps is Keeps.NOTHING:
        return Counter()
    mine = {path: state for path, state in everything.items() if "/frames/" not in path}
    if keeps is Keeps.BYTES:
        return Counter(mine.values())
    return Counter((_own_place(path), state) for path, state in mine.items())


def _own_place(path: str) -> str:
    """A path; of a file in the trash the one that it came from."""
    return "library/" + path.removeprefix(_TRASH).partition("/")[2] if path.startswith(_TRASH) else path


def killed(operation: Operation, root: Path, at_change: int) -> bool:
    """Starts an operation in a process that is killed just before its n-th change; False if it ended before.

    Returns when nothing of it lives any more.
    """
    process = fork_starter().Process(target=_doomed, args=(operation.name, str(root), at_change))
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
        if event == STEP or _is_move(event, arguments) or _is_change(event, arguments, root):
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    with contextlib.suppress(*REFUSALS):
        operation.carry_out(library)


def _is_move(event: str, arguments: tuple[Any, ...]) -> bool:
    """Whether a file is renamed by descriptors of its folders, which no audit event tells."""
    return event == "ctypes.dlsym" and arguments[1] == "renameat2"


def _is_change(event: str, arguments: tuple[Any, ...], root: str) -> bool:
    is_opened = event == "open" and isinstance(arguments[0], str | bytes)
    if is_opened and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
        return False
    return (is_opened or event in _CHANGES) and os.fsdecode(arguments[0]).startswith(root)


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
