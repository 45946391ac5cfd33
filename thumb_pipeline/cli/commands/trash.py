"""`thumb-pipeline trash`: lists what sweeps and purges removed, and empties it."""

from datetime import datetime
from typing import Annotated, Any

import typer

from thumb_pipeline.cli.commands.purge import YesOption
from thumb_pipeline.cli.console import (
    JsonOption,
    LibraryOption,
    confirm,
    open_chosen_library,
    print_json,
    print_table,
    say,
)
from thumb_pipeline.domain.quantities import counted, human_bytes
from thumb_pipeline.stages.inventory.selection import refuse_unknown
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline.stages.removal import journal
from thumb_pipeline.stages.removal import trash as trashed
from thumb_pipeline.stages.removal.trash import Entry, list_entries, reason_not_to_expire

EmptyOption = Annotated[bool, typer.Option("--empty", help="Delete the named runs for good, or all of them.")]
ExpiredOption = Annotated[bool, typer.Option("--expired", help="Delete the runs that have expired.")]
RunsArgument = Annotated[list[str] | None, typer.Argument(metavar="[RUN_ID]...", help="Only these, with --empty.")]


def trash(
    run_id: RunsArgument = None,
    library: LibraryOption = None,
    empty: EmptyOption = False,
    expired: ExpiredOption = False,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """List what was removed and can be restored; empty it."""
    opened = open_chosen_library(library)
    if run_id and not empty:
        raise Refused("name runs only with --empty; to bring one back: thumb-pipeline restore RUN_ID")
    if empty and expired:
        raise Refused("--empty deletes the named runs or all, --expired those that have expired: choose one")
    emptied = _empty_trash(opened, run_id or [], empty=empty, expired=expired, yes=yes)
    _show(opened, emptied, json=json)
    _say_what_stays(opened)


def _empty_trash(library: Library, run_ids: list[str], *, empty: bool, expired: bool, yes: bool) -> list[Entry]:
    if expired:
        with journal.lock_removals(library):
            return trashed.empty_expired(library)
    if not empty:
        return []
    present = trashed.list_entries(library)
    for run_id in run_ids:
        refuse_unknown("run in the trash", run_id, [entry.run_id for entry in present])
    chosen = [entry for entry in present if not run_ids or entry.run_id in run_ids]
    if chosen and not yes:
        n_files, n_bytes = sum(entry.n_files for entry in chosen), sum(entry.n_bytes for entry in chosen)
        confirm(f"delete {counted(n_files, 'file')} ({human_bytes(n_bytes)}) for good")
    with journal.lock_removals(library):
        return trashed.empty(library, [entry.run_id for entry in chosen]) if chosen else []


def _show(library: Library, emptied: list[Entry], *, json: bool) -> None:
    entries = list_entries(library)
    if json:
        print_json(
            {
                "entries": [_as_json(entry) for entry in entries],
                "n_files": sum(entry.n_files for entry in entries),
                "n_bytes": sum(entry.n_bytes for entry in entries),
                "emptied": [entry.run_id for entry in emptied],
                "freed_n_bytes": sum(entry.n_bytes for entry in emptied),
            }
        )
        return
    if emptied:
        freed = sum(entry.n_bytes for entry in emptied)
        typer.echo(f"{counted(len(emptied), 'run')} emptied, {human_bytes(freed)} freed")
    for entry in emptied:
        typer.echo(f"  {entry}")
    if not entries:
        typer.echo("the trash is empty")
        return
    rows = [
        [
            f"{entry.run_id}  {entry.operation}{'' if entry.is_finished else ' (stopped part-way)'}",
            _moment(entry.removed_at),
            f"{entry.n_files:,}",
            human_bytes(entry.n_bytes),
            _moment(entry.expires_at),
        ]
        for entry in entries
    ]
    print_table("Trash", ["run", "removed", "files", "bytes", "expires"], rows)
    typer.echo(
        f"{human_bytes(sum(entry.n_bytes for entry in entries))} in {library.trash}; they are freed when they are "
        "emptied, or when they have expired, by the next sweep or purge with --apply"
    )


def _say_what_stays(library: Library) -> None:
    reason = reason_not_to_expire(library)
    if reason is not None:
        say(reason)


def _as_json(entry: Entry) -> dict[str, Any]:
    return {
        "run_id": entry.run_id,
        "operation": entry.operation,
        "removed_at": entry.removed_at.isoformat(),
        "expires_at": None if entry.expires_at is None else entry.expires_at.isoformat(),
        "n_files": entry.n_files,
        "n_bytes": entry.n_bytes,
        "is_finished": entry.is_finished,
        "can_restore": entry.can_restore,
    }


def _moment(at: datetime | None) -> str:
    return "-" if at is None else at.astimezone().strftime("%Y-%m-%d %H:%M")
