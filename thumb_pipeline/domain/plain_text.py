"""Text from outside (decoders, files, people, other programs) as every table, page and terminal takes it.

File names have a reversible text of their own, in `names`; this is for words that people read.
"""

import re

_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_UNFIT_IN_LINES = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_INSTEAD = "\ufffd"


def plain(text: str, *, most: int = 1_000) -> str:
    """One line of valid UTF-8 without control characters: each run of what cannot stand there becomes one U+FFFD.

    Args:
        text: any, also with lone surrogates.
        most: characters that are kept of it.
    """
    cut = text if len(text) <= most else text[: most - 1] + "…"
    return _UNFIT.sub(_INSTEAD, cut)


def plain_lines(text: str) -> str:
    """The same for words of several lines, however long."""
    return _UNFIT_IN_LINES.sub(_INSTEAD, text)
