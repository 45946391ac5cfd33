"""Cleans up what killed processes left behind; the first process that notices it does so."""

from collections.abc import Callable

from thumb_pipeline.stages.library import clean_up
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.rendering import work_orders


def clean_up_after_killed(library: Library, end_their_runs: Callable[[], object] = lambda: None) -> int | None:
    """Removes the unfinished files and the orders of work of processes that were killed, then their leases.

    Args:
        library: the library.
        end_their_runs: called before the leases are removed, as these tell which runs were theirs.

    Returns:
        How many files were removed; None where no process was killed.
    """
    dead = clean_up.find_dead_leases(library)
    if not dead:
        return None
    n_files = clean_up.clean_up(library)
    work_orders.discard_abandoned(library)
    end_their_runs()
    clean_up.forget(library, dead)
    return n_files
