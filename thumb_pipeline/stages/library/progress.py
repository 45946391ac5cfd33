"""How callers are told of progress."""

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""(done, of how many)."""


def of_part(on_progress: Progress | None, n_before: int, n_all: int) -> Progress | None:
    """Progress of a part, told as that of the whole."""
    return None if on_progress is None else lambda n_done, _: on_progress(n_before + n_done, n_all)
