"""Decides which sources are complete: by their own end marker, or by standing still between two looks.

Never by their age alone: clocks of cameras and file servers differ, and slow writers pause.
"""

import time
from datetime import UTC, datetime

import polars as pl

from thumb_pipeline.datasets.rows import by_timelapse
from thumb_pipeline.datasets.schemas import INSTANT
from thumb_pipeline.stages.inventory.listing import LISTED, as_table
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.storage.folders import has_end_marker, look_at

SETTLED, PENDING = "settled", "pending"

_SAME = list(LISTED)


def settle(library: Library, fresh: pl.DataFrame, over_at: float, *, wait: bool = True) -> pl.DataFrame:
    """Looks again at new and changed sources, at most once each, until the settle interval is over.

    End markers are read while the interval runs. A source that has none, or whose turn did not come, is looked at again
    when the interval is over.

    Args:
        library: the library.
        fresh: `LISTED` columns, as first seen.
        over_at: monotonic time at which the interval is over for all of them.
        wait: wait until then; else a source without an end marker is pending, and a later survey decides.

    Returns:
        The same columns as they are now, with `state`, and `looked_at` where they were looked at again; files that
        vanished meanwhile are left out.
    """
    complete = pl.Series(
        [_is_complete(library, key, name, over_at) for key, name, *_ in fresh.iter_rows()], dtype=pl.Boolean
    )
    waiting = fresh.filter(~complete)
    if wait and not waiting.is_empty():
        time.sleep(max(0.0, over_at - time.monotonic()))
    again = _look_again(library, waiting).join(waiting.select(*_SAME, stood_still=pl.lit(True)), on=_SAME, how="left")
    state = pl.when(pl.col("stood_still").is_null() | pl.lit(not wait)).then(pl.lit(PENDING)).otherwise(pl.lit(SETTLED))
    at_once = fresh.filter(complete).select(*_SAME, state=pl.lit(SETTLED), looked_at=pl.lit(None, INSTANT))
    return pl.concat([at_once, again.select(*_SAME, state=state, looked_at=pl.lit(datetime.now(UTC), INSTANT))])


def _is_complete(library: Library, key: str, name: str, until: float) -> bool:
    if time.monotonic() > until:
        return False
    return has_end_marker(library.source_file(key, name))


def _look_again(library: Library, waiting: pl.DataFrame) -> pl.DataFrame:
    return as_table(
        [
            (key, look_at(library.frames(key), rows["source_name"].to_list()))
            for key, rows in by_timelapse(waiting).items()
        ]
    )
