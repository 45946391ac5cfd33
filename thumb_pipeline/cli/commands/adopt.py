"""`thumb-pipeline adopt`: marks the folders outside of a library that belong to it."""

from typing import Annotated

import typer

from thumb_pipeline.cli.console import JsonOption, LibraryOption, named_library, print_json
from thumb_pipeline.stages.library.adopt_folders import adopt_folders
from thumb_pipeline.stages.library.roots import Standing


def adopt(
    library: LibraryOption = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Also folders with other files in them; these are never touched.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Mark folders outside of the library as its own.

    These are the folders that storage.state and storage.variants name. It is needed once for folders that an earlier
    version made; new ones are marked at the first use.
    """
    opened, folders = adopt_folders(named_library(library), accept_others=yes)
    if json:
        adopted = [each.folder for each in folders if each.is_to_be_marked]
        print_json({"library": opened.root, "adopted": adopted})
        return
    for each in folders:
        typer.echo(f"{each.setting} = {each.folder}: {_WORDS[each.standing]}")
    if not folders:
        typer.echo(f"{opened.root} writes into no folder outside of itself; nothing was changed")


_WORDS = {
    Standing.FREE: "empty; it becomes this library's at the first use",
    Standing.OURS: "was this library's already",
    Standing.MOVED: "is this library's, which was elsewhere before",
    Standing.UNMARKED: "is this library's now",
    Standing.ANOTHERS: "is this library's now; the one that had it is gone",
}
