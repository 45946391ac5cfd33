"""The moment of a video whose frame stands for it.

Finding that frame is `imaging.sources.video_frames`' business. A picture that does not move has no such moment, so it
is part of no recipe: a record and a variant's provenance say it of videos alone, and only those are stale when it
changes.
"""

import re
from dataclasses import dataclass

_TEXT = re.compile(r"(?:[0-9]{1,6}(?:\.[0-9]{1,9})?|[0-9](?:\.[0-9]{1,5})?e[+-][0-9]{2,3})(?: s| of the duration)")
"""What `FrameAt.text` gives: Python's `g` format of a number that is not negative, and its unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameAt:
    """The moment of a video whose frame stands for it.

    Attributes:
        share: of the video's duration.
        seconds: from its start; where given, `share` does not count.
    """

    share: float = 0.10
    seconds: float | None = None

    @property
    def text(self) -> str:
        """The moment as records and provenance say it: equal texts ask for the same frame of a video."""
        return f"{self.share:g} of the duration" if self.seconds is None else f"{self.seconds:g} s"


DEFAULT_FRAME_AT = FrameAt()


def is_moment(text: str) -> bool:
    """Whether a text says a moment as `FrameAt.text` does."""
    return _TEXT.fullmatch(text) is not None
