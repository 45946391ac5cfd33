"""Sweep and purge from start to end: plan, refuse, write the journal, carry out, empty what has expired.

Commands plan and write the journal before they start a run. A run that finds no journal under its id makes its own
plan.
"""

from thumb_pipeline.domain.removals import Operation
from thumb_pipeline.stages.library.library import Lease, Library
from thumb_pipeline.stages.removal import journal, trash
from thumb_pipeline.stages.removal.carry_out import Removed, carry_out, refuse_other_file_systems
from thumb_pipeline.stages.removal.planned import Removal, RemovalWish
from thumb_pipeline.stages.removal.purge import plan_purge
from thumb_pipeline.stages.removal.sweep import plan_sweep


def plan_removal(library: Library, operation: Operation, wish: RemovalWish) -> Removal:
    """Plans what a sweep or a purge would remove, from fresh listings; nothing is changed.

    Raises:
        Refused: a choice is unknown, or the disk of the variants is not there.
        ArchiveUnavailable: a folder cannot be listed.
    """
    return (plan_sweep if operation is Operation.SWEEP else plan_purge)(library, wish)


def write_down(library: Library, removal: Removal, run_id: str, lease: Lease) -> None:
    """Writes the plan as the journal of the run with this id; the caller holds `journal.lock_removals`.

    Raises:
        Refused: a brake objects, the plan takes another number of files than was expected, the trash is on another
            file system, or the journal cannot be written.
    """
    removal.refuse_objections()
    removal.refuse_other_number(is_for_good=is_for_good(library, removal.wish))
    refuse_other_file_systems(library, removal)
    journal.place(library, removal, run_id, lease)


def is_for_good(library: Library, wish: RemovalWish) -> bool:
    """Whether removed files cannot be brought back: they do not go to the trash, or the trash keeps nothing."""
    return not wish.use_trash or library.settings.trash.keep_days == 0


def perform(library: Library, operation: Operation, wish: RemovalWish, run_id: str, lease: Lease) -> Removed:
    """Carries out the removal in the journal of this run; without a journal, plans the wish and carries that out.

    Raises:
        Refused: as `plan_removal` and `write_down`; nothing was changed.
        ArchiveUnavailable: as `plan_removal`; nothing was changed.
        LockTimeout: another removal is at work.
        CannotWrite: the disk of the state is full; what was moved can be restored.
    """
    with journal.lock_removals(library):
        if not journal.is_placed(library, run_id):
            write_down(library, plan_removal(library, operation, wish), run_id, lease)
        removed = carry_out(library, run_id, lease)
        removed.trash_emptied = trash.announce_expired(trash.empty_expired(library))
        removed.trash_kept = trash.reason_not_to_expire(library)
    return removed
