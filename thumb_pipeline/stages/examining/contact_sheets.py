"""Contact sheets of a library's newest thumbnails: for the Dagster UI, and as a file to open."""

import os

import polars as pl

from thumb_pipeline.domain.paths import inside
from thumb_pipeline.domain.plans import RecordState
from thumb_pipeline.stages.inventory.capture_times import in_capture_order
from thumb_pipeline.stages.library.library import Lease, Library
from thumb_pipeline.stages.workers.messages import SheetAnswer, SheetTask
from thumb_pipeline.stages.workers.pool import WorkerPool, worker_orders

_UI_PICTURES = 12  # an event with more than 20 KB makes the UI slow
_UI_CELL = (128, 96)
_FILE_PICTURES = 60
_FILE_CELL = (200, 150)


def newest_thumbnails_base64(library: Library, key: str, lease: Lease) -> str | None:
    """A small JPEG of a timelapse's newest thumbnails in base64; None where it has none."""
    files = _files(library, key, _UI_PICTURES, spread=False)
    answer = (
        _make_sheet(library, lease, SheetTask(files=files, columns=6, cell=_UI_CELL, quality=60)) if files else None
    )
    return answer.base64 if answer and answer.n_pictures else None


def write_contact_sheet(library: Library, keys: list[str], lease: Lease) -> str | None:
    """Writes a sheet of thumbnails, from first to last capture; returns its path in the state folder, if any."""
    each = max(1, _FILE_PICTURES // max(1, len(keys)))
    files = tuple(file for key in keys for file in _files(library, key, each, spread=True))
    path = inside(library.state, "contact-sheet.jpg")
    task = SheetTask(files=files, columns=10, cell=_FILE_CELL, quality=85, target=os.fsencode(path))
    return path if files and _make_sheet(library, lease, task) else None


def _files(library: Library, key: str, count: int, *, spread: bool) -> tuple[bytes, ...]:
    """Up to `count` thumbnails in the order of capture: the newest, or evenly spread over all."""
    smallest = _smallest_variant(library)
    is_shown = (pl.col("state") == RecordState.MADE) & (pl.col("variant") == smallest)
    order = library.inventory.query([key], lambda rows: in_capture_order(rows).select("source_name"))
    # A few more than asked for: some of the newest may have failed.
    names = order["source_name"].to_list() if spread else order["source_name"].tail(4 * count).to_list()
    made = library.manifest.query(
        [key], lambda rows: rows.filter(is_shown).select("source_name", "variant_path"), names=names
    )
    by_source = dict(made.iter_rows())
    paths = [by_source[name] for name in names if name in by_source]
    step = len(paths) / count if spread and len(paths) > count else 1.0
    chosen = [paths[int(number * step)] for number in range(min(count, len(paths)))] if spread else paths[-count:]
    return tuple(library.variant_file(key, path) for path in chosen)


def _smallest_variant(library: Library) -> str:
    def area(name: str) -> int:
        spec = library.settings.specs[name]
        return (spec.max_width_px or 10_000) * (spec.max_height_px or 10_000)

    return min(library.settings.variants, key=area)


def _make_sheet(library: Library, lease: Lease, task: SheetTask) -> SheetAnswer | None:
    with WorkerPool(1, lease, worker_orders(library, lease)) as pool:
        for _, answer in pool.run([task]):
            if isinstance(answer, SheetAnswer):
                return answer
    return None
