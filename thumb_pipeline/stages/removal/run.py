"""Sweep and purge from their plan to their end: plan, refuse, write down, carry out, empty what has expired.

Commands plan and write down before they start a run; a run that finds nothing written down under its id plans itself.
"""

from thumb_pipeline.domain.removals import Operation
from thumb_pipeline.stages.library.library import Lease, Library
from thumb_pipeline.stages.removal import journal, trash
from thumb_pipeline.stages.removal.carry_out import Removed, carry_out, refuse_other_file_systems
from thumb_pipeline.stages.removal.planned import Removal, RemovalWish
from thumb_pipeline.stages.removal.purge import plan_purge
from thumb_pipeline.stages.removal.sweep import plan_sweep


def plan_removal(library: Library, operation: Operation, wish: RemovalWish) -> Removal:
    """What a sweep or a purge would remove, from a fresh look; nothing is changed.

    Raises:
        Refused: a choice is unknown, or the disk of the variants is not there.
        ArchiveUnavailable: a folder cannot be listed.
    """
    return (plan_sweep if operation is Operation.SWEEP else plan_purge)(library, wish)


def write_down(library: Library, removal: Removal, run_id: str, lease: Lease) -> None:
    """Makes a plan the one that the run with this id carries out; the caller works `journal.lock_removals`.

    Raises:
        Refused: a brake holds, it takes another number of files than was expected, the trash is on another file
            system, or the disk takes no journal.
    """
    removal.refuse_objections()
    removal.refuse_other_number(is_for_good=is_for_good(library, removal.wish))
    refuse_other_file_systems(library, removal)
    journal.place(library, removal, run_id, lease)


def is_for_good(library: Library, wish: RemovalWish) -> bool:
    """Whether what goes cannot be brought back: it does not go to the trash, or the trash keeps nothing."""
    return not wish.use_trash or library.settings.trash.keep_days == 0


def perform(library: Library, operation: Operation, wish: RemovalWish, run_id: str, lease: Lease) -> Removed:
    """Carries out what was written down under a run's id; where nothing was, plans what is wished and does that.

    Raises:
        Refused: as `plan_removal` and `write_down`, and nothing was changed.
        ArchiveUnavailable: likewise.
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
