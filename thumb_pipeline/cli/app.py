"""Puts the commands together, and turns whatever ends one into a sentence and an exit code.

Exit codes: 0 done, 1 done but some sources failed or something is left that is not valid, 2 refused before anything
changed (usage, settings, environment, brake), 3 stopped part-way and safe to repeat.
"""

import atexit
import gc
import signal
import sys
import traceback
from typing import NoReturn

import typer

from thumb_pipeline import __version__
from thumb_pipeline.cli.commands.adopt import adopt
from thumb_pipeline.cli.commands.demo import demo
from thumb_pipeline.cli.commands.generate import generate
from thumb_pipeline.cli.commands.init import init
from thumb_pipeline.cli.commands.plan import plan
from thumb_pipeline.cli.commands.purge import purge
from thumb_pipeline.cli.commands.regenerate import regenerate
from thumb_pipeline.cli.commands.repair import repair
from thumb_pipeline.cli.commands.restore import restore
from thumb_pipeline.cli.commands.stats import stats
from thumb_pipeline.cli.commands.status import cancel, status
from thumb_pipeline.cli.commands.sweep import sweep
from thumb_pipeline.cli.commands.trash import trash
from thumb_pipeline.cli.commands.up import up
from thumb_pipeline.cli.commands.verify import verify
from thumb_pipeline.cli.console import STOPPED, ExitCode, complain
from thumb_pipeline.cli.dagster.instance import InstanceUnusable
from thumb_pipeline.stages.library.errors import INTERRUPTIONS, REFUSALS, remedy_of

app = typer.Typer(
    name="thumb-pipeline",
    help="Keeps the thumbnails of timelapse camera archives complete, current, intact and provable.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in (
    *(demo, init, adopt, plan, generate, regenerate, verify, repair, sweep, purge, restore, trash),
    *(stats, status, cancel, up),
):
    app.command()(command)


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
    """Runs the command line; every way out has an exit code and, but for success, a sentence on standard error."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a service manager's stop is a Ctrl-C
    for number in (signal.SIGINT, signal.SIGTERM):
        atexit.register(signal.signal, number, signal.SIG_IGN)  # all is done and said: a late stop changes no exit code
    atexit.register(gc.freeze)  # what Dagster and Polars leave takes 0.6 s to collect, seconds on a busy machine
    try:
        app(standalone_mode=True)
    except REFUSALS as refused:
        complain(str(refused))
        sys.exit(ExitCode.REFUSED)
    except (*INTERRUPTIONS, InstanceUnusable) as error:
        complain(str(error))
        sys.exit(ExitCode.STOPPED)
    except KeyboardInterrupt:
        _stopped()
    except OSError as error:
        complain(_stopped_by_system(error))
        sys.exit(ExitCode.STOPPED)
    except Exception:  # noqa: BLE001 -- whatever it is, exit code 1 would say that the work was done
        traceback.print_exc()
        complain("stopped by a fault of the program; what was finished is kept. Please report the lines above")
        sys.exit(ExitCode.STOPPED)
    except SystemExit as ended:
        if ended.code != _TYPER_STOPPED:
            raise
        _stopped()


_TYPER_STOPPED = 130
"""What Typer makes of Ctrl-C while a command runs."""


def _stopped_by_system(error: OSError) -> str:
    """What the operating system refused in a place that has no words of its own for it."""
    what = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
    return f"{what}; what was finished is kept: {remedy_of(error)}, then run the same command again"


def _stopped() -> NoReturn:
    complain(STOPPED)
    sys.exit(ExitCode.STOPPED)
