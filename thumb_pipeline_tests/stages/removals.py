"""Sweeps, purges and restores as commands run them, without Dagster, for the tests of stages."""

import uuid
from pathlib import Path

from thumb_pipeline.domain.removals import Operation
from thumb_pipeline.stages.removal import journal, run
from thumb_pipeline.stages.removal.carry_out import Removed
from thumb_pipeline.stages.removal.planned import Removal, RemovalWish
from thumb_pipeline.stages.removal.restore import Restored, restore
from thumb_pipeline_tests.stages.archives import Archive


def planned(archive: Archive, operation: Operation = Operation.SWEEP, **wish: object) -> Removal:
    """The plan alone."""
    return run.plan_removal(archive.library, operation, RemovalWish(**wish))  # type: ignore[arg-type]


def removed(archive: Archive, operation: Operation = Operation.SWEEP, **wish: object) -> Removed:
    """Planned and carried out at once."""
    library = archive.library
    with library.lease() as lease:
        asked = RemovalWish(**wish)  # type: ignore[arg-type]
        return run.perform(library, operation, asked, str(uuid.uuid4()), lease)


def swept(archive: Archive, **wish: object) -> Removed:
    return removed(archive, Operation.SWEEP, **wish)


def purged(archive: Archive, **wish: object) -> Removed:
    return removed(archive, Operation.PURGE, **wish)


def written_down(archive: Archive, operation: Operation = Operation.SWEEP, **wish: object) -> str:
    """Plans and writes down; what a test does next happens between the report and the deletion."""
    library, run_id = archive.library, str(uuid.uuid4())
    with library.lease() as lease, journal.lock_removals(library):
        run.write_down(library, planned(archive, operation, **wish), run_id, lease)
    return run_id


def carried_out(archive: Archive, run_id: str) -> Removed:
    """Carries out what was written down."""
    library = archive.library
    operation = journal.read(library, run_id).operation
    with library.lease() as lease:
        return run.perform(library, operation, RemovalWish(), run_id, lease)


def restored(archive: Archive, run_id: str) -> Restored:
    library = archive.library
    with library.lease() as lease, journal.lock_removals(library):
        return restore(library, run_id, lease)


def in_trash(archive: Archive) -> set[str]:
    """Everything in the trash, without the run ids."""
    top = Path(archive.library.trash)
    return {"/".join(path.relative_to(top).parts[1:]) for path in top.rglob("*") if not path.is_dir()}
