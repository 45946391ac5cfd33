"""`thumb-pipeline init`: makes a folder a library."""

import os
from typing import Annotated

import typer

from thumb_pipeline.cli.console import JsonOption, command_line, print_json
from thumb_pipeline.domain.paths import inside
from thumb_pipeline.stages.library.open import initialise
from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline.stages.library.service_folders import LIBRARY_VARIABLE


def init(
    folder: Annotated[
        str | None, typer.Argument(metavar="[DIR]", help="The folder that holds (or will hold) cameras/.")
    ] = None,
    library: Annotated[str | None, typer.Option("--library", envvar=LIBRARY_VARIABLE, help="The same as DIR.")] = None,
    json: JsonOption = False,
) -> None:
    """Make a folder a library: write its thumbs.toml.

    If there is one already, nothing is changed.
    """
    root = folder or library
    if not root:
        raise Refused("name the folder that holds cameras/: init DIR")
    is_new = initialise(root)
    path = inside(os.path.realpath(root), "thumbs.toml")
    if json:
        print_json({"library": os.path.realpath(root), "settings": path, "created": is_new})
    elif is_new:
        typer.echo(f"{path} written: look through it, then: {command_line('generate', '--library', root)}")
    else:
        typer.echo(f"{path} is there already; nothing was changed")
