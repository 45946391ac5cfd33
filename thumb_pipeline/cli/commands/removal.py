"""What `sweep` and `purge` share: the options, the plan in a table, and the run that carries it out.

`stages` decides what is removed; this module prints it.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thumb_pipeline.cli.console import ExitCode, command_line, complain, print_json, print_table, say
from thumb_pipeline.cli.dagster.instance import refuse_long_path
from thumb_pipeline.domain.quantities import counted, human_bytes
from thumb_pipeline.domain.removals import KEPT_MEANING, KeptReason, Operation
from thumb_pipeline.stages.library.library import Lease, Library
from thumb_pipeline.stages.removal import journal, run
from thumb_pipeline.stages.removal.planned import Removal, RemovalWish

if TYPE_CHECKING:
    from thumb_pipeline.cli.dagster.runs import JobOutcome

ApplyOption = Annotated[bool, typer.Option("--apply", help="Do it; without this, only show the plan.")]
OverruleOption = Annotated[
    bool, typer.Option("--force", help="Overrule the brakes; check first that every disk is mounted.")
]
NoTrashOption = Annotated[bool, typer.Option("--no-trash", help="Delete for good instead of moving into the trash.")]

_SHOWN_TIMELAPSES = 20
_SHOWN_FILES = 10
_NOT_IN_JSON = ("kept_by_reason", "trash_emptied", "trash_kept")
_OPS = {Operation.SWEEP: "sweep_orphans", Operation.PURGE: "purge_variants"}


def show(library: Library, removal: Removal) -> None:
    """Prints the plan, the same for a dry run and for --apply."""
    rows = [
        [f"{key}  {kind.replace('_', ' ')}", f"{n:,}", human_bytes(n_bytes)]
        for key, kind, n, n_bytes in removal.summary().iter_rows()
    ]
    more = len(rows) - _SHOWN_TIMELAPSES
    total = ["all", f"{removal.files.height:,}", human_bytes(removal.n_bytes)]
    shown = [*rows[:_SHOWN_TIMELAPSES], *([[f"… and {more} more lines", "", ""]] if more > 0 else []), total]
    print_table("To be removed", ["timelapse  why", "files", "bytes"], shown)
    for key, path in removal.files.head(_SHOWN_FILES).select("timelapse", "variant_path").iter_rows():
        typer.echo(f"  {key}/{path}")
    if removal.files.height > _SHOWN_FILES:
        typer.echo(f"  … and {removal.files.height - _SHOWN_FILES:,} more")
    if not removal.files.is_empty():
        typer.echo(_where_they_go(library, removal))
    if removal.n_foreign:
        say(
            f"{counted(removal.n_foreign, 'file')} of the form .tp-… stay: no process that this library knows has "
            "written them. If nothing else writes here, delete them by hand; orphan_report and verify name them"
        )
    if removal.n_by_policy:
        only = [part for key in removal.wish.timelapses for part in ("--timelapse", key)]
        say(
            f"{counted(removal.n_by_policy, 'file')} of existing frames stay, which no policy asks for any more; "
            f"to see and remove them too: {command_line('sweep', *only, '--policy')}"
        )


def show_dry_run(library: Library, removal: Removal, *, json: bool) -> None:
    """Prints the plan as the result of a dry run, with the objections that would stop it."""
    say_objections(removal)
    if json:
        print_json(removal.document())
        return
    show(library, removal)
    if removal.files.is_empty() and removal.records.is_empty():
        typer.echo("there is nothing to remove")
        return
    typer.echo(f"nothing was changed; to remove: {command_line(removal.operation.value, *_arguments(removal.wish))}")


def say_objections(removal: Removal) -> None:
    """Prints the objections to a plan, and whether they were overruled."""
    for objection in removal.objections:
        say(f"--apply would be refused:\n{objection}" if not removal.is_forced else f"overruled:\n{objection}")


def say_dry_run(library: Library, removal: Removal) -> None:
    """Prints what a sweep after another command would remove, on standard error beside that command's result."""
    say_objections(removal)
    if not removal.files.is_empty():
        size = human_bytes(removal.n_bytes)
        say(f"{counted(removal.files.height, 'file')} ({size}) to be removed: {_where_they_go(library, removal)}")


def carry_out_and_say(library: Library, removal: Removal, lease: Lease, *, json: bool) -> None:
    """Carries the plan out and prints the result; ends with exit code 1 if a file was kept."""
    done = run_removal(library, removal, lease)
    if json:
        print_json({name: value for name, value in done.items() if name not in _NOT_IN_JSON})
    else:
        _print(done, library, removal.wish)
    say_what_was_kept(done["kept_by_reason"])
    say_what_expired(done)
    if done["kept"]:
        raise typer.Exit(ExitCode.INCOMPLETE)


def run_removal(library: Library, removal: Removal, lease: Lease) -> dict[str, Any]:
    """Writes the plan to a journal, runs the job that carries out exactly this plan, and returns its result."""
    from thumb_pipeline.cli.dagster import runs  # Dagster takes a second to load: only where there is work

    refuse_long_path(library)
    run_id = runs.new_run_id()
    wish = replace(removal.wish, expected_files=removal.files.height)  # the user has seen this very plan
    with journal.lock_removals(library):
        run.write_down(library, replace(removal, wish=wish), run_id, lease)
    config = {
        "apply": True,
        "timelapses": list(wish.timelapses),
        "force": wish.force,
        "use_trash": wish.use_trash,
        "expected_files": wish.expected_files,
    }
    if removal.operation is Operation.PURGE:
        config["variants"] = list(wish.variants)
    else:
        config["by_policy"] = wish.by_policy
    outcome = runs.carry_out_job(
        library, removal.operation.value, run_id, lease, op=_OPS[removal.operation], config=config
    )
    return output_of(outcome, command_line("restore", run_id) if wish.use_trash else None)


def output_of(outcome: "JobOutcome", remedy: str | None) -> dict[str, Any]:
    """Returns what a job's op returned; if the job did not finish, ends the command with the reason and the remedy."""
    if outcome.is_refused:
        complain(str(outcome.stopped))
        raise typer.Exit(ExitCode.REFUSED)
    if outcome.stopped is not None:
        complain(outcome.stopped)
        if remedy is not None:
            say(f"what is in the trash can be brought back: {remedy}")
        raise typer.Exit(ExitCode.STOPPED)
    return dict(outcome.output)


def say_what_was_kept(by_reason: dict[str, int]) -> None:
    """Prints how many files were kept, and why."""
    for reason, n in sorted(by_reason.items()):
        say(f"{counted(n, 'file')} kept: {KEPT_MEANING[KeptReason(reason)]}")


def say_what_expired(done: dict[str, Any]) -> None:
    """Prints which expired runs were deleted from the trash, and the reason if some were not."""
    for sentence in [*done["trash_emptied"], done["trash_kept"]]:
        if sentence is not None:
            say(sentence)


def _print(done: dict[str, Any], library: Library, wish: RemovalWish) -> None:
    typer.echo(
        f"{counted(done['removed'], 'file')} removed ({human_bytes(done['n_bytes'])}), {done['kept']:,} kept, "
        f"run {done['run_id']}"
    )
    if done["trash"] is not None:
        typer.echo(f"no space is freed until {_keep_days(library)} have passed or the trash is emptied")
        typer.echo(f"to undo: {command_line('restore', done['run_id'])}")
        typer.echo(f"to free the space now: {command_line('trash', '--empty', done['run_id'])}")
    elif done["removed"] and not wish.use_trash:
        typer.echo("they are deleted for good")


def _where_they_go(library: Library, removal: Removal) -> str:
    if not removal.wish.use_trash:
        return "they are deleted for good"
    return f"they go to {library.trash} and can be restored for {_keep_days(library)}; until then no space is freed"


def _keep_days(library: Library) -> str:
    return f"{library.settings.trash.keep_days:g} days"


def _arguments(wish: RemovalWish) -> list[str]:
    """The options that repeat a dry run with --apply."""
    chosen = [part for key in wish.timelapses for part in ("--timelapse", key)]
    chosen += [part for name in wish.variants for part in ("--variant", name)]
    options = {"--force": wish.force, "--no-trash": not wish.use_trash, "--policy": wish.by_policy}
    flags = [option for option, is_set in options.items() if is_set]
    return [*chosen, *flags, "--apply"]
