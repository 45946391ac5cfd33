"""Notices that a service of Dagster has lost the process in which it keeps our code, and has the page start another.

Without it the daemon fails each tick until it gets itself a new one, every minute; the page shows what it remembers,
and fails when a run is launched, until somebody presses *Reload*. The services themselves are in `services`.
"""

import contextlib
import glob
import json
import urllib.request

from thumb_pipeline.cli.dagster.instance import LOCATION

_ANSWER_S = 30.0


def has_children(pid: int) -> bool:
    """Whether a process has a living child; where the system does not tell, it is taken to have one."""
    listed = glob.glob(f"/proc/{pid}/task/*/children")
    children = [child for path in listed for child in _read(path).split()]
    return not listed or any(_is_alive(child) for child in children)


def reload_code(url: str) -> None:
    """Presses *Reload*. Where that fails, the next look finds the same and repeats it."""
    query = f"mutation {{ reloadRepositoryLocation(repositoryLocationName: {json.dumps(LOCATION)}) {{ __typename }} }}"
    body, kind = json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/graphql", body, kind)  # noqa: S310 -- loopback
    with contextlib.suppress(OSError):
        urllib.request.urlopen(request, timeout=_ANSWER_S).close()  # noqa: S310 -- likewise


def _is_alive(pid: str) -> bool:
    state = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return bool(state) and state[0] != "Z"


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:  # the process, or a thread of it, has just ended
        return ""
