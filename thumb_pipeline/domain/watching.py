"""Decides what the folder watcher does: which folder to list, what to render first, what to request from Dagster.

Functions of values, each with a test. Looking at folders is in `stages.captures.watch`, requests to Dagster are in
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
"""How long a run for new captures lasts until the next one replaces it, which then uses changed code."""

HAND_OVER_S = 30.0
"""How long a run continues when its time is over, so that the next one can start meanwhile."""

RETRY_AFTER_S = (5.0, 10.0, 20.0, 30.0, 60.0, 120.0)
"""How long to wait before another run is requested after one that did not finish; the last value holds from then on.

The first few are short: frames should not wait for minutes because a run was killed, or could not start because a code
server had just been killed.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """A folder's mtime, and when (monotonic seconds) this process first saw that mtime.

    Attributes:
        mtime_ns: the folder's mtime.
        first_seen_s: since when the folder has had it.
        restless_from_s: since when the mtime has been changing, or from when on that counts again after a listing.
    """

    mtime_ns: int
    first_seen_s: float
    restless_from_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What to do about a folder now.

    Attributes:
        is_due: whether to list it now.
        is_final: the listing misses no change up to this mtime, so the mtime may be remembered.
        again_s: when (monotonic seconds) to look again even if the mtime stays the same; None for not at all.
    """

    is_due: bool
    is_final: bool = False
    again_s: float | None = None


def turn_of(sight: Sight, *, was_listed: bool, now_s: float) -> Turn:
    """Whether to list a changed folder now.

    A second file within the same tick of the disk's clock does not change the mtime. Where mtimes have fractions, the
    tick is a few milliseconds, and listing waits until it is over. Where they are whole seconds, the folder is listed
    at once, for speed, and once more after the tick. So is a folder whose mtime has been changing for a second without
    a pause, as it does while many files are copied. Only this machine's clock is used: a file server's may be wrong.
    """
    is_fine = sight.mtime_ns % _NS_A_SECOND != 0
    over_s = sight.first_seen_s + (_FINE_S if is_fine else _COARSE_S)
    if now_s >= over_s:
        return Turn(is_due=True, is_final=True)
    if is_fine and now_s - sight.restless_from_s < _RESTLESS_S:
        return Turn(is_due=False, again_s=over_s)
    return Turn(is_due=not was_listed, again_s=over_s)


def restless_again_s(began_s: float, ended_s: float) -> float:
    """From when on a folder that was listed while it changed counts as restless: listing takes a tenth of the time.

    Args:
        began_s: when the listing began (monotonic seconds).
        ended_s: when it ended.
    """
    return ended_s + max(0.0, (ended_s - began_s) / _LISTING_SHARE - _RESTLESS_S)


def beginning_at(key: str, found: Iterable[tuple[str, T]]) -> list[tuple[str, T]]:
    """The folders in order, starting at `key` and wrapping round: each gets its turn, however slow another is."""
    folders = list(found)
    first = next((place for place, (each, _) in enumerate(folders) if each == key), 0)
    return folders[first:] + folders[:first]


def next_batch(backlog: Mapping[str, Sequence[str]], limit: int) -> dict[str, list[str]]:
    """Up to `limit` sources to render next: an equal share of each timelapse, taken from the end of its sequence.

    One timelapse with a hundred thousand files must not make twenty cameras wait.
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
    """What is on the disk: the timelapses, and how many of their sources wait to be rendered."""

    timelapses: AbstractSet[str]
    n_waiting: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is recorded: the partitions, and those among them whose inventory holds no source (any more)."""

    partitions: AbstractSet[str]
    forgotten: AbstractSet[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlight:
    """What runs: whether a run handles new captures, and the timelapses that other runs may still need."""

    is_attended: bool = False
    timelapses: AbstractSet[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """What earlier ticks of the sensor left: runs that were requested in a row and have not finished.

    Attributes:
        attempts: the number of those runs.
        asked_at_s: when the last one was requested, in seconds since 1970.
    """

    attempts: int = 0
    asked_at_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to request from Dagster; `reason` says why no run is requested."""

    add: list[str]
    retire: list[str]
    is_run_due: bool
    reason: str = ""


def is_successor_due(ages_s: Sequence[float]) -> bool:
    """Whether to request the next run while one handles new captures: its time is over, and no successor waits.

    Args:
        ages_s: seconds since the start of each run that handles new captures.
    """
    return len(ages_s) == 1 and ages_s[0] >= RUN_LASTS_S


def decide(
    on_disk: OnDisk, known: Known, in_flight: InFlight, cursor: Cursor, *, now_s: float, keep_warm: bool = False
) -> Decision:
    """Registers new timelapses, retires forgotten ones, and requests a run if sources wait and no run handles them.

    With `keep_warm` a run is requested whenever there is none, also before any source waits.

    A folder that vanished or was emptied retires nothing: its partition goes once somebody has accepted that its
    sources are gone (its inventory is empty then), and no run needs it any more.
    """
    gone = known.partitions - on_disk.timelapses
    reason = ""
    retry_at_s = cursor.asked_at_s + RETRY_AFTER_S[min(cursor.attempts, len(RETRY_AFTER_S)) - 1]
    if in_flight.is_attended:
        reason = "a run is already handling new captures" + _warning_of_lost(gone - known.forgotten)
    elif on_disk.n_waiting == 0 and not keep_warm:
        reason = "nothing new" + _warning_of_lost(gone - known.forgotten)
    elif cursor.attempts and cursor.asked_at_s <= now_s < retry_at_s:
        reason = (
            f"runs requested that have not finished: {cursor.attempts} (look at them under Runs); "
            f"the next is requested in {retry_at_s - now_s:.0f} s"
        )
    return Decision(
        add=sorted(on_disk.timelapses - known.partitions),
        retire=sorted((gone & known.forgotten) - in_flight.timelapses),
        is_run_due=not reason,
        reason=reason,
    )


def _warning_of_lost(lost: AbstractSet[str]) -> str:
    """A warning of missing timelapses that nobody gave up: an empty mount point looks like a finished archive."""
    if not lost:
        return ""
    some = ", ".join(sorted(lost)[:_MOST_NAMED]) + (", ..." if len(lost) > _MOST_NAMED else "")
    return (
        f"; {counted(len(lost), 'known timelapse')} not on the disk ({some}): check that it is mounted; "
        "if they are really gone, run generate --accept-shrink"
    )
