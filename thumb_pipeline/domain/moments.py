"""The moment of a video that its variants show.

`imaging.sources.video_frames` finds the frame. A still picture has no such moment, so the moment is not part of a
recipe: only the records and the provenance of videos state it, and only those become stale when it changes.
"""

import re
from dataclasses import dataclass

_TEXT = re.compile(r"(?:[0-9]{1,6}(?:\.[0-9]{1,9})?|[0-9](?:\.[0-9]{1,5})?e[+-][0-9]{2,3})(?: s| of the duration)")
"""The form of `FrameAt.text`: a number that is not negative, in Python's `g` format, and its unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameAt:
    """The moment of a video that its variants show.

    Attributes:
        share: share of the video's duration.
        seconds: seconds from its start; if given, `share` is ignored.
    """

    share: float = 0.10
    seconds: float | None = None

    @property
    def text(self) -> str:
        """The moment as records and provenance state it; equal texts mean the same frame of a video."""
        return f"{self.share:g} of the duration" if self.seconds is None else f"{self.seconds:g} s"


DEFAULT_FRAME_AT = FrameAt()


def is_moment(text: str) -> bool:
    """Whether a text has the form of `FrameAt.text`."""
    return _TEXT.fullmatch(text) is not None
