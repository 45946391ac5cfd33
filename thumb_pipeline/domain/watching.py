"""Decides what a watcher of folders does: whom to list, what to render first, what to ask Dagster for.

Functions of values, each with a test. Looking at folders is in `stages.captures.watch`, asking Dagster in
`defs.sensors`.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TypeVar

from thumb_pipeline.domain.quantities import counted

T = TypeVar("T")

_FINE_S = 0.05
_COARSE_S = 2.1  # FAT keeps two seconds, older NFS and ext3 one
_RESTLESS_S = 1.0
_LISTING_SHARE = 0.1
_NS_A_SECOND = 1_000_000_000
_MOST_NAMED = 3

RUN_LASTS_S = 3600.0
"""When a run for new captures is followed by the next: changed code is used from then on."""

HAND_OVER_S = 30.0
"""How long a run goes on when its time is over, for the next one to start meanwhile."""

RETRY_AFTER_S = (5.0, 10.0, 20.0, 30.0, 60.0, 120.0)
"""How long a run is not asked for again after one that did not get to its end; the last holds from then on.

The first few are short: runs that were killed, or could not be started because a code server had just been, are no
reason to let frames wait for minutes.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """A folder's mtime, and when (monotonic seconds) this process first saw it so.

    Attributes:
        mtime_ns: the folder's.
        first_seen_s: since when it has been that.
        restless_from_s: since when it has been moving, or from when on that counts again.
    """

    mtime_ns: int
    first_seen_s: float
    restless_from_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What to do about a folder now.

    Attributes:
        is_due: list it.
        is_final: that listing misses nothing that the mtime stands for, so that the mtime may be remembered.
        again_s: when (monotonic seconds) to look again although the mtime stays; None for not at all.
    """

    is_due: bool
    is_final: bool = False
    again_s: float | None = None


def turn_of(sight: Sight, *, was_listed: bool, now_s: float) -> Turn:
    """Whether a folder that moved is to be listed now.

    A second file within the same tick of the disk's clock leaves the mtime as it is. Where mtimes have fractions the
    tick is a few milliseconds, and listing waits until it is over; where they are whole seconds the folder is listed at
    once, for the sake of speed, and once more afterwards. So is a folder that has been moving for a second without a
    pause, as it does while many files are copied. Only our own clock is asked: a file server's may be wrong.
    """
    is_fine = sight.mtime_ns % _NS_A_SECOND != 0
    over_s = sight.first_seen_s + (_FINE_S if is_fine else _COARSE_S)
    if now_s >= over_s:
        return Turn(is_due=True, is_final=True)
    if is_fine and now_s - sight.restless_from_s < _RESTLESS_S:
        return Turn(is_due=False, again_s=over_s)
    return Turn(is_due=not was_listed, again_s=over_s)


def restless_again_s(began_s: float, ended_s: float) -> float:
    """From when on a folder that was listed while it moved counts as restless: listing takes a tenth of the time.

    Args:
        began_s: when the listing began (monotonic seconds).
        ended_s: when it ended.
    """
    return ended_s + max(0.0, (ended_s - began_s) / _LISTING_SHARE - _RESTLESS_S)


def beginning_at(key: str, found: Iterable[tuple[str, T]]) -> list[tuple[str, T]]:
    """The folders in their order, from one of them on and round to it: each gets its turn, however slow another is."""
    folders = list(found)
    first = next((place for place, (each, _) in enumerate(folders) if each == key), 0)
    return folders[first:] + folders[:first]


def next_batch(backlog: Mapping[str, Sequence[str]], limit: int) -> dict[str, list[str]]:
    """Up to `limit` sources to render next: of each timelapse its share, of each the last ones of its sequence.

    Shares are equal, so that one timelapse with a hundred thousand files does not make twenty cameras wait.
    """
    batch: dict[str, list[str]] = {}
    waiting = sorted((key for key in backlog if backlog[key]), key=lambda key: (len(backlog[key]), key))
    for number, key in enumerate(waiting):
        share = max(1, limit // (len(waiting) - number))
        if limit <= 0:
            break
        batch[key] = list(backlog[key][-min(share, limit) :])
        limit -= len(batch[key])
    return batch


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDisk:
    """What lies there: the timelapses, and how many of their sources wait to be rendered."""

    timelapses: AbstractSet[str]
    n_waiting: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known: the partitions, and those among them whose inventory holds no source (any more)."""

    partitions: AbstractSet[str]
    forgotten: AbstractSet[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlight:
    """What is under way: whether a run looks after new captures, and the timelapses that any run counts on."""

    is_attended: bool = False
    timelapses: AbstractSet[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """What earlier decisions left: how many runs in a row were asked for and have not got to the end of their list.

    Attributes:
        attempts: their number.
        asked_at_s: when the last one was asked for, in seconds since 1970.
    """

    attempts: int = 0
    asked_at_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to ask Dagster for; `reason` says why no run is asked for."""

    add: list[str]
    retire: list[str]
    is_run_due: bool
    reason: str = ""


def is_successor_due(ages_s: Sequence[float]) -> bool:
    """Whether to ask for the next run while one attends: its time is over, and no other waits to take its place.

    Args:
        ages_s: seconds since each run that attends to new captures was started.
    """
    return len(ages_s) == 1 and ages_s[0] >= RUN_LASTS_S


def decide(
    on_disk: OnDisk, known: Known, in_flight: InFlight, cursor: Cursor, *, now_s: float, keep_warm: bool = False
) -> Decision:
    """Registers what appeared, retires what was forgotten, asks for a run where sources wait and none attends to them.

    With `keep_warm` a run is asked for where none is, also before any source waits.

    A folder that vanished or was emptied retires nothing: its partition goes when somebody has accepted that its
    sources are gone (its inventory is empty then), and no run counts on it any more.
    """
    gone = known.partitions - on_disk.timelapses
    reason = ""
    retry_at_s = cursor.asked_at_s + RETRY_AFTER_S[min(cursor.attempts, len(RETRY_AFTER_S)) - 1]
    if in_flight.is_attended:
        reason = "a run attends to new captures" + _said_of_lost(gone - known.forgotten)
    elif on_disk.n_waiting == 0 and not keep_warm:
        reason = "nothing new" + _said_of_lost(gone - known.forgotten)
    elif cursor.attempts and cursor.asked_at_s <= now_s < retry_at_s:
        reason = (
            f"{cursor.attempts} runs were asked for and have not got to their end (look at them under Runs); "
            f"the next is asked for in {retry_at_s - now_s:.0f} s"
        )
    return Decision(
        add=sorted(on_disk.timelapses - known.partitions),
        retire=sorted((gone & known.forgotten) - in_flight.timelapses),
        is_run_due=not reason,
        reason=reason,
    )


def _said_of_lost(lost: AbstractSet[str]) -> str:
    """Timelapses whose sources nobody gave up: an empty mount point looks like an archive in which all is done."""
    if not lost:
        return ""
    some = ", ".join(sorted(lost)[:_MOST_NAMED]) + (", ..." if len(lost) > _MOST_NAMED else "")
    return (
        f"; {counted(len(lost), 'known timelapse')} not on the disk ({some}): check that it is mounted; "
        "if they are really gone, run generate --accept-shrink"
    )
