"""Opens a library with the settings in force: those of `thumbs.toml`, or the last usable ones while it cannot be used.

For services, for commands that a machine may start, and for commands that must work whatever the file says. Commands
that a person types refuse an unusable file instead, because the person can correct it (decision 051). A *missing* file
is refused by all: that is how a library whose disk is not mounted is recognised.
"""

import contextlib
import os
import time
import tomllib
from collections.abc import Iterator
from dataclasses import replace

from thumb_pipeline.domain.clocks import moment
from thumb_pipeline.domain.layout import SETTINGS_NAME
from thumb_pipeline.domain.paths import inside
from thumb_pipeline.domain.settings import Settings
from thumb_pipeline.stages.library.library import Library, publish_into_state
from thumb_pipeline.stages.library.open import open_library, open_with, resolve_folder
from thumb_pipeline.stages.library.refused import Refused, SettingsTrouble, SettingsUnusable
from thumb_pipeline.storage.folders import ArchiveUnavailable
from thumb_pipeline.storage.publishing import CannotWrite, NameTaken
from thumb_pipeline.storage.reading import read_small

KEPT_NAME = f"last-valid-{SETTINGS_NAME}"
"""The file in the state folder that holds the last usable text."""

_MOST_N_BYTES = 64 * 1024 * 1024

_STANDS_STILL_S = 1.0
_PATIENCE_S = 5.0
"""How long to wait for a changed file. An editor may still be writing it, and half a file can be valid TOML."""


def open_in_force(root: str) -> Library:
    """Opens a library with the settings in force, and keeps them as the last usable ones if they are the file's own.

    Waits up to `_PATIENCE_S` until a changed file has not changed for `_STANDS_STILL_S`.

    Raises:
        Refused: there is no library, it is not initialised, or its settings cannot be used and none were kept before.
    """
    deadline_s = time.monotonic() + _PATIENCE_S
    while True:
        opened, differs_from_kept = _try_open(root)
        rest_s = _rest_s(root) if differs_from_kept else 0.0
        if rest_s <= 0 or time.monotonic() >= deadline_s:
            break
        time.sleep(rest_s)
    if isinstance(opened, SettingsUnusable):
        raise opened
    if opened.trouble is None:
        _keep(opened)
    return opened


def peek(root: str) -> Library:
    """The same as `open_in_force`, without waiting and without writing; raises as it does."""
    opened, _ = _try_open(root)
    if isinstance(opened, SettingsUnusable):
        raise opened
    return opened


def keep(library: Library) -> None:
    """Keeps a command's settings as the last usable ones; a failure to write them is ignored.

    If the file was changed just now, they are not kept: the services wait until it is complete, and then keep it.
    """
    if library.trouble is None and (_read_kept_text(library.state) is None or _rest_s(library.root) <= 0):
        _keep(library)


def look_at_file(library: Library) -> tuple[int, ...] | None:
    """A value that differs after each change of `thumbs.toml` or of its permissions; None if the file is absent."""
    try:
        status = os.stat(inside(library.root, SETTINGS_NAME))
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size


def refuse_trouble(library: Library) -> None:
    """Makes sure that the settings in force are those of `thumbs.toml`.

    Raises:
        Refused: they are not; nothing may be removed by settings that no user can see in the file.
    """
    if library.trouble is not None:
        faults = "\n".join(library.trouble.faults)
        raise Refused(
            f"{faults}\nnothing is removed while earlier settings are in force; first correct what is named above"
        )


def _try_open(root: str) -> tuple[Library | SettingsUnusable, bool]:
    """The library that can be opened now, or the error; and whether `thumbs.toml` differs from the kept settings.

    Without kept settings the second value is False.
    """
    try:
        library = open_library(root)
    except SettingsUnusable as unusable:
        last = _open_last_valid(os.path.realpath(root), unusable)
        return last or unusable, last is not None
    return library, _read_kept_text(library.state) not in (None, library.written)


def _rest_s(root: str) -> float:
    """How long the file must stay unchanged before it counts as complete; 0 for an mtime in the future."""
    try:
        age_s = time.time() - os.stat(inside(root, SETTINGS_NAME)).st_mtime
    except OSError:
        return 0.0
    return _STANDS_STILL_S - age_s if age_s >= 0 else 0.0


def _open_last_valid(root: str, unusable: SettingsUnusable) -> Library | None:
    """The library with the last usable settings; None if there are none, or they are another library's."""
    for state in _state_folders(root):
        path = inside(state, KEPT_NAME)
        with contextlib.suppress(OSError, SettingsUnusable):
            library = open_with(root, read_small(path, _MOST_N_BYTES))
            if library.state == state:
                since = moment(os.stat(path).st_mtime)
                trouble = SettingsTrouble(faults=tuple(str(unusable).splitlines()), in_force_since=since)
                return replace(library, trouble=trouble)
    return None


def _state_folders(root: str) -> Iterator[str]:
    """Where the state may be while the settings that name it cannot be used, the likeliest folder first."""
    with (
        contextlib.suppress(OSError, ValueError, RecursionError, KeyError, TypeError),
        open(inside(root, SETTINGS_NAME), "rb") as f,
    ):
        yield resolve_folder(root, tomllib.load(f)["storage"]["state"])
    home = os.environ.get("DAGSTER_HOME", "")
    if os.path.basename(home) == "dagster":
        yield os.path.dirname(os.path.realpath(home))
    yield resolve_folder(root, Settings().storage.state)


def _read_kept_text(state: str) -> bytes | None:
    try:
        return read_small(inside(state, KEPT_NAME), _MOST_N_BYTES)
    except OSError:
        return None


def _keep(library: Library) -> None:
    if _read_kept_text(library.state) == library.written:
        return
    with contextlib.suppress(OSError, CannotWrite, NameTaken, ArchiveUnavailable, Refused):
        if not os.path.isdir(library.state):
            library.refuse_if_gone()
            library.claim_state()
            os.makedirs(library.state, exist_ok=True)
        publish_into_state(os.fsencode(inside(library.state, KEPT_NAME)), library.written)
