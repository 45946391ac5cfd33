"""The callback that reports progress to callers."""

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called with how many are done, and of how many."""


def of_part(on_progress: Progress | None, n_before: int, n_all: int) -> Progress | None:
    """A callback for a part of the work, which reports the progress of the whole."""
    return None if on_progress is None else lambda n_done, _: on_progress(n_before + n_done, n_all)
