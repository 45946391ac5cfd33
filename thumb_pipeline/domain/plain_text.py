"""Makes text from outside (decoders, files, people, other programs) safe for every table, page and terminal.

File names have a reversible text form of their own, in `names`; this module is for text that people read.
"""

import re

_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")
_UNFIT_IN_LINES = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")
"""Controls, line and paragraph separators, halves of surrogate pairs, and what turns the direction of writing round."""

_INSTEAD = "\ufffd"


def plain(text: str, *, most: int = 1_000) -> str:
    """One line of valid UTF-8 without what is unfit: each run of such characters becomes one U+FFFD.

    Args:
        text: any text, also with lone surrogates.
        most: length in characters; longer text is cut and ends with an ellipsis.
    """
    cut = text if len(text) <= most else text[: most - 1] + "…"
    return _UNFIT.sub(_INSTEAD, cut)


def plain_lines(text: str) -> str:
    """The same for text of several lines, of any length."""
    return _UNFIT_IN_LINES.sub(_INSTEAD, text)
