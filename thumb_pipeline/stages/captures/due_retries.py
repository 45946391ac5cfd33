"""Tells a watcher which refused sources to retry now; else they would wait for the nightly `generate`.

The manifest holds the times, and a note of `retries` says when to read it. `follow` renders the sources.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime

from thumb_pipeline.analytics.retries import latest_retry_at
from thumb_pipeline.domain.clocks import moment
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.rendering.retries import discard_note, list_notes, read_due_s, retries_of

_ASK_AGAIN_S = 60.0


@dataclass(slots=True)
class DueRetries:
    """What a watcher knows of retries: when to read the manifest of each timelapse, and which retries it took already.

    A time further ahead than any delay was written by a clock that ran ahead, and counts as past.
    A retry that did not take place (its source vanished, a policy no longer asks for it) stays due for good; each is
    handed out once, and the manifest of its timelapse is read again after a minute.
    """

    _written_ns: dict[str, int] = field(default_factory=dict)
    _ask_at_s: dict[str, float] = field(default_factory=dict)
    _taken: dict[str, set[tuple[str, datetime]]] = field(default_factory=dict)

    def timelapses(self, library: Library, on_disk: AbstractSet[str], *, now_s: float) -> list[str]:
        """The timelapses to `take` from now, in order; costs a listing of the notes, which are few."""
        for key, written_ns in list_notes(library).items():
            if self._written_ns.get(key) != written_ns:
                self._written_ns[key], self._ask_at_s[key] = written_ns, read_due_s(library, key)
        latest_s = latest_retry_at(moment(now_s), library.settings.retries.delays_s).timestamp()
        return sorted(key for key, at_s in self._ask_at_s.items() if not now_s < at_s <= latest_s and key in on_disk)

    def take(self, library: Library, key: str, *, now_s: float) -> list[str]:
        """The sources of a timelapse that are due and were not taken before, the longest due first.

        Raises:
            SliceDamaged: the timelapse's records cannot be read.
        """
        retries = [(str(name), at) for _, name, at in retries_of(library, [key]).iter_rows()]
        if not retries:
            self.forget(key)
            discard_note(library, key)
            return []
        now = moment(now_s)
        latest = latest_retry_at(now, library.settings.retries.delays_s)
        due = {retry for retry in retries if not now < retry[1] <= latest}
        later = [at.timestamp() for _, at in {*retries} - due]
        self._ask_at_s[key] = min([now_s + _ASK_AGAIN_S, *later])
        taken = self._taken.get(key, set())
        self._taken[key] = due
        return [name for name, at in retries if (name, at) in due - taken]

    def tried(self, key: str) -> None:
        """Notes that what was taken was tried: the records of the timelapse may be other ones now."""
        if key in self._ask_at_s:
            self._ask_at_s[key] = 0.0

    def forget(self, key: str) -> None:
        """Forgets what is known of a timelapse: what was taken may not have been tried."""
        for known in (self._written_ns, self._ask_at_s, self._taken):
            known.pop(key, None)
