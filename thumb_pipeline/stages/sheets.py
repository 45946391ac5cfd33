"""Contact sheets of a library's newest thumbnails: for the Dagster UI, and as a file to open."""

import os

import polars as pl

from thumb_pipeline.stages.examine import variant_file, worker_orders
from thumb_pipeline.stages.inventory import in_capture_order
from thumb_pipeline.stages.library import Library
from thumb_pipeline.stages.worker_pool import WorkerPool
from thumb_pipeline.stages.worker_tasks import SheetAnswer, SheetTask
from thumb_pipeline.storage.leases import Lease

_UI_PICTURES = 12  # an event with more than 20 KB makes the UI slow
_UI_CELL = (128, 96)
_FILE_PICTURES = 60
_FILE_CELL = (200, 150)


def newest_thumbnails_base64(library: Library, key: str, lease: Lease) -> str | None:
    """A small JPEG of a timelapse's newest thumbnails in base64; None where it has none."""
    files = _newest_files(library, [key], _UI_PICTURES)
    answer = _made(library, lease, SheetTask(files=files, columns=6, cell=_UI_CELL, quality=60)) if files else None
    return answer.base64 if answer and answer.n_pictures else None


def write_contact_sheet(library: Library, keys: list[str], lease: Lease) -> str | None:
    """Writes a sheet of the newest thumbnails of some timelapses below the state folder; returns its path."""
    each = max(1, _FILE_PICTURES // max(1, len(keys)))
    files = tuple(file for key in keys for file in _newest_files(library, [key], each))
    path = os.path.join(library.state, "contact-sheet.jpg")
    task = SheetTask(files=files, columns=10, cell=_FILE_CELL, quality=85, target=os.fsencode(path))
    return path if files and _made(library, lease, task) else None


def _newest_files(library: Library, keys: list[str], count: int) -> tuple[bytes, ...]:
    smallest = _smallest_variant(library)
    made = library.manifest.read(keys, columns=["timelapse", "source_name", "variant", "state", "variant_path"])
    shown = made.lazy().filter((pl.col("state") == "made") & (pl.col("variant") == smallest))
    sources = library.inventory.read(keys).lazy()
    newest = in_capture_order(sources.join(shown, on=["timelapse", "source_name"], suffix="_made")).tail(count)
    rows = newest.select("timelapse", "variant_path").collect().iter_rows()
    return tuple(variant_file(library, key, path) for key, path in rows)


def _smallest_variant(library: Library) -> str:
    def area(name: str) -> int:
        spec = library.settings.specs[name]
        return (spec.max_width_px or 10_000) * (spec.max_height_px or 10_000)

    return min(library.settings.variants, key=area)


def _made(library: Library, lease: Lease, task: SheetTask) -> SheetAnswer | None:
    with WorkerPool(1, lease, worker_orders(library, lease)) as pool:
        for _, answer in pool.run([task]):
            if isinstance(answer, SheetAnswer):
                return answer
    return None
