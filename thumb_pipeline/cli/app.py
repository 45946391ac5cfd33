"""Finds the module of each command, and turns every error that ends a command into a message and an exit code.

Exit codes: 0 done, 1 done but some sources failed or something invalid is left, 2 refused before anything
changed (usage, settings, environment, brake), 3 stopped part-way and safe to repeat.
"""

import atexit
import gc
import importlib
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from thumb_pipeline import __version__
from thumb_pipeline.cli.console import STOPPED, ExitCode, complain
from thumb_pipeline.cli.dagster.instance import InstanceUnusable
from thumb_pipeline.stages.library.errors import INTERRUPTIONS, REFUSALS, remedy_of

COMMANDS = {
    "demo": "Draw a small library and run the whole pipeline over it.",
    "init": "Make a folder a library: write its thumbs.toml.",
    "adopt": "Mark folders outside of the library as its own.",
    "plan": "Say what generate would make, and why; nothing is changed.",
    "generate": "Make every variant that is missing, stale or corrupt.",
    "regenerate": "Render again what is right already; resumable.",
    "verify": "Compare every variant with what should be there; read-only.",
    "repair": "Move misplaced variants to their place, and correct the records.",
    "sweep": "Remove files that nothing expects, into a trash.",
    "purge": "Remove all variants and their records, into a trash.",
    "restore": "Bring back what a sweep or purge removed.",
    "trash": "List what was removed and can be restored; empty it.",
    "stats": "Count how complete the library is and what it takes on disk.",
    "status": "Say what runs and waits, how far it is, and what failed.",
    "cancel": "Stop runs and backfills; what they finished is kept.",
    "up": "Start a library's web UI and daemon; Ctrl-C stops both.",
}
"""Each command and the first line of its help. The module of a command has the same name."""

_PLAIN: dict[str, Any] = {"add_completion": False, "rich_markup_mode": None, "pretty_exceptions_enable": False}


class _Commands(Mapping[str, Any]):
    """The commands by name. A module is imported when its command is looked up, so no command loads the others."""

    def __getitem__(self, name: str) -> Any:
        if name not in COMMANDS:
            raise KeyError(name)
        one = typer.Typer(**_PLAIN)
        one.command(name)(getattr(importlib.import_module(f"thumb_pipeline.cli.commands.{name}"), name))
        return typer.main.get_command(one)

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class _Group(TyperGroup):
    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Commands()  # type: ignore[assignment]  # none is ever added

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 -- Click's signature
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


app = typer.Typer(
    cls=_Group,
    name="thumb-pipeline",
    help="Keeps the thumbnails of timelapse camera archives complete, current, intact and provable.",
    no_args_is_help=True,
    **_PLAIN,
)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"thumb-pipeline {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(
        False, "--version", help="Print the version and stop.", callback=_show_version, is_eager=True
    ),
) -> None:
    """Keeps the thumbnails of timelapse camera archives complete, current, intact and provable."""


def main() -> None:
    """Runs the command line. Every exit has its code; every exit but success has a message on standard error too."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a service manager's SIGTERM acts as Ctrl-C
    for number in (signal.SIGINT, signal.SIGTERM):
        atexit.register(signal.signal, number, signal.SIG_IGN)  # work is done: a late signal changes no exit code
    atexit.register(gc.freeze)  # collecting what Dagster and Polars leave takes 0.6 s, seconds on a busy machine
    try:
        app(standalone_mode=True)
    except REFUSALS as refused:
        complain(str(refused))
        sys.exit(ExitCode.REFUSED)
    except (*INTERRUPTIONS, InstanceUnusable) as error:
        complain(str(error))
        sys.exit(ExitCode.STOPPED)
    except KeyboardInterrupt:
        _exit_stopped()
    except OSError as error:
        complain(_stopped_by_system(error))
        sys.exit(ExitCode.STOPPED)
    except Exception:  # noqa: BLE001 -- Python's own exit code 1 would mean that the work was done
        traceback.print_exc()
        complain("stopped by a fault of the program; what was finished is kept. Please report the lines above")
        sys.exit(ExitCode.STOPPED)
    except SystemExit as ended:
        if ended.code != _TYPER_STOPPED:
            raise
        _exit_stopped()


_TYPER_STOPPED = 130
"""The exit code that Typer gives Ctrl-C while a command runs."""


def _stopped_by_system(error: OSError) -> str:
    """The message for a system call that failed where no other code handles its error."""
    what = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
    return f"{what}; what was finished is kept: {remedy_of(error)}, then run the same command again"


def _exit_stopped() -> NoReturn:
    complain(STOPPED)
    sys.exit(ExitCode.STOPPED)
