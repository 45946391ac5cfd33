"""The forms of ids that come from outside: from Dagster, from run config and tags, from file names.

An id that names a folder or a file of the state is checked here before it becomes part of a path (`domain.paths`). Keys
of timelapses are in `layout`, names of sources and variants in `names`.
"""

import re

_RUN = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LEASE = re.compile(r"[0-9a-f]{8}")
_CHANGE_LIST = re.compile(r"[0-9a-f]{1,16}-[0-9a-f]{6}")


def is_run_id(text: str) -> bool:
    """Whether a text is the id of a Dagster run: a UUID in its canonical form, in lower case."""
    return _RUN.fullmatch(text) is not None


def is_lease_id(text: str) -> bool:
    """Whether a text is the id of a lease: eight hex digits."""
    return _LEASE.fullmatch(text) is not None


def is_change_list_id(text: str) -> bool:
    """Whether a text is the id of a list of changes: the time in milliseconds and six random digits, both in hex."""
    return _CHANGE_LIST.fullmatch(text) is not None
