"""Detects that a Dagster service has lost its code server (the child process with our code), and reloads the page's.

Without this, the daemon fails each tick until it starts a new code server, which it does every minute. The page shows
what it remembers, and fails to launch runs until somebody presses *Reload*. The services themselves are in `services`.
"""

import contextlib
import glob
import json
import urllib.request

from thumb_pipeline.cli.dagster.instance import LOCATION

_ANSWER_S = 30.0


def has_children(pid: int) -> bool:
    """Whether a process has a living child; true where the system does not list children."""
    listed = glob.glob(f"/proc/{pid}/task/*/children")
    children = [child for path in listed for child in _read(path).split()]
    return not listed or any(_is_alive(child) for child in children)


def reload_code(url: str) -> None:
    """Does what *Reload* in the UI does. If that fails, the next check finds the same loss and tries again."""
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
