"""What commands print: tables and sentences on a terminal, plain lines elsewhere, one JSON document with --json.

Results go to standard output; progress, notes and errors go to standard error.
"""

import json
import os
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from thumb_pipeline.domain import names
from thumb_pipeline.domain.plain_text import plain_lines
from thumb_pipeline.domain.quantities import human_seconds
from thumb_pipeline.stages.library import settings_in_force
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.library.open import open_library
from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline.stages.library.service_folders import LIBRARY_VARIABLE

COMMAND_VARIABLE = "THUMB_PIPELINE_COMMAND"
"""Set by `run.py` to the command that starts this program, so that hints can be typed as printed."""

STOPPED = "stopped; what was finished is kept, repeat the command to go on"
_PLAIN_LINE_EVERY_S = 5.0


class ExitCode(IntEnum):
    """How a command ended."""

    DONE = 0
    INCOMPLETE = 1
    REFUSED = 2
    STOPPED = 3


LibraryOption = Annotated[
    str | None,
    typer.Option("--library", envvar=LIBRARY_VARIABLE, help="Folder of the library; it holds thumbs.toml."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]


def open_chosen_library(path: str | None) -> Library:
    """Opens the library that --library or the environment names.

    Raises:
        Refused: no library is named, or it cannot be opened, for example because of its settings.
    """
    library = open_library(named_library(path))
    settings_in_force.keep(library)
    return library


def open_in_force_library(path: str | None) -> Library:
    """Opens it for commands that must work even if thumbs.toml is unusable: with the last usable settings.

    Raises:
        Refused: no library is named, or it cannot be opened.
    """
    return settings_in_force.open_in_force(named_library(path))


def say_trouble(library: Library) -> None:
    """Warns on standard error if the settings in force are not those of thumbs.toml."""
    if library.trouble is not None:
        complain(str(library.trouble))


def named_library(path: str | None) -> str:
    """The folder that --library or the environment names.

    Raises:
        Refused: neither names one.
    """
    if not path:
        raise Refused(f"name the library: --library DIR, or set {LIBRARY_VARIABLE}")
    return path


def source_text(argument: str) -> str:
    """The text form of a source's name, given as it is on disk or as we print it."""
    try:
        names.to_bytes(argument)
    except (ValueError, UnicodeEncodeError):
        return names.to_text(os.fsencode(argument))
    return argument


def where_frames_go(library: Library) -> str:
    """The hint for a library without sources: where frames belong."""
    return f"there are no frames; they belong into folders like {library.cameras}/camera-1/timelapse-1/frames/"


def say(line: str) -> None:
    """Prints one or more lines on standard error; nothing in them can move a terminal's cursor."""
    sys.stderr.write(plain_lines(line) + "\n")


def complain(message: str) -> None:
    """Prints on standard error why a command stops."""
    say(f"thumb-pipeline: {message}")


def confirm(what: str) -> None:
    """Asks the operator to type yes before something that is hard to undo.

    Raises:
        Refused: there is no terminal to ask on, or the answer is not yes.
    """
    if not os.isatty(0):
        raise Refused(f"to {what} without a terminal to ask on, repeat with --yes; nothing was changed")
    sys.stderr.write(f"type yes to {what}: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip() != "yes":
        raise Refused("nothing was changed")


def print_json(document: dict[str, Any]) -> None:
    """Prints the one document of a command run with --json."""
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def print_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Prints a table on standard output; every column but the first is aligned right."""
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(width=None if sys.stdout.isatty() else 100).print(table)


def command_line(*arguments: str) -> str:
    """One of our commands, as the user would type it."""
    return f"{os.environ.get(COMMAND_VARIABLE) or 'thumb-pipeline'} {shlex.join(arguments)}"


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "", style="progress.data.speed")


class Gauge:
    """Shows how much is done: a bar on a terminal, a line every few seconds elsewhere."""

    def __init__(self, what: str, bar: Progress | None) -> None:
        self._what = what
        self._bar = bar
        self._task = None if bar is None else bar.add_task(what, total=None)
        self._printed_at = time.monotonic()
        self._first: tuple[int, float] | None = None

    def show(self, n_done: int, n_all: int) -> None:
        """Updates the display."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=n_done, total=n_all)
            return
        now = time.monotonic()
        if self._first is None:
            self._first = n_done, now  # the time before was start-up, not work
        if now - self._printed_at >= _PLAIN_LINE_EVERY_S:
            self._printed_at = now
            n_first, started = self._first
            rate = (n_done - n_first) / (now - started) if now > started else 0.0
            time_left = human_seconds((n_all - n_done) / rate) if rate else "unknown"
            say(f"{self._what}: {n_done} of {n_all}, {rate:.1f}/s, {time_left} left")


@contextmanager
def gauge(what: str) -> Iterator[Gauge]:
    """Shows a gauge on standard error while the block runs."""
    if not sys.stderr.isatty():
        yield Gauge(what, None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield Gauge(what, bar)
