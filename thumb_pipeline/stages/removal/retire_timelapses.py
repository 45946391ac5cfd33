"""Finds timelapses of which nothing is left, and drops their records.

Nothing is left of a timelapse when its folder is gone, the loss of its sources was accepted, and it has no variant
files. `defs.partitions` decides which partitions Dagster keeps.
"""

import os
from collections.abc import Collection

from thumb_pipeline.datasets.slices import SliceDamaged
from thumb_pipeline.domain.layout import CAMERAS_FOLDER, is_key
from thumb_pipeline.domain.paths import inside
from thumb_pipeline.stages.inventory.listing import discover
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.rendering.retries import discard_note
from thumb_pipeline.stages.verification import verdicts
from thumb_pipeline.storage.folders import unavailable


def find_gone_timelapses(library: Library, known: Collection[str] = ()) -> list[str]:
    """Finds the keys of timelapses of which nothing but records is left.

    Args:
        library: the library. If the tree of its sources or of its variants is missing, nothing counts as gone.
        known: keys to check besides those that have an inventory; anything that is not a key is skipped.

    Raises:
        ArchiveUnavailable: a folder cannot be listed.
    """
    trees = {library.root, library.variants_root}
    if not all(os.path.isdir(inside(tree, CAMERAS_FOLDER)) for tree in trees):
        return []
    discovery = discover(library)
    suspected = sorted({*filter(is_key, known), *discovery.vanished} - set(discovery.keys))
    held = find_with_sources(library, suspected)
    return [key for key in suspected if key not in held and not _holds_files(library.variants(key))]


def find_with_sources(library: Library, keys: Collection[str]) -> frozenset[str]:
    """Those of the given timelapses that have sources in their inventory, or whose inventory cannot be read."""
    ordered = sorted(keys)
    try:
        held = library.inventory.query(ordered, lambda rows: rows.select("timelapse").unique())
    except SliceDamaged:
        if len(ordered) == 1:
            return frozenset(ordered)
        return frozenset().union(*(find_with_sources(library, [key]) for key in ordered))
    return frozenset(held["timelapse"])


def forget(library: Library, key: str) -> bool:
    """Drops the records of a timelapse that is gone; returns False if sources of it were recorded meanwhile."""
    verdicts.forget(library, [key])
    library.last_plan.drop(key)
    library.manifest.drop(key)
    discard_note(library, key)
    return library.inventory.drop(key, only_if_empty=True)


def _holds_files(folder: str) -> bool:
    def fail(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise unavailable(folder, error) from error

    return any(files for _, _, files in os.walk(folder, onerror=fail))
