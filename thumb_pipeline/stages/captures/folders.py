"""Looks at the folders that a watcher watches: which there are, when they changed, what in one is not recorded.

`watch` decides what to do about it.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from thumb_pipeline.domain.layout import FRAMES_FOLDER, is_camera_folder, timelapse_key
from thumb_pipeline.domain.paths import inside
from thumb_pipeline.domain.plans import RecordState
from thumb_pipeline.domain.settings import for_timelapse
from thumb_pipeline.stages.inventory.listing import SourceListing, sources_of
from thumb_pipeline.stages.inventory.settling import SETTLED
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.planning.policy import find_required_sources
from thumb_pipeline.storage.folders import ArchiveUnavailable, FolderListing, list_subfolders, unavailable

_STAT = ["source_name", "n_bytes", "mtime_ns"]
_FEW_NAMES = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDiskFolders:
    """The timelapses on the disk.

    Attributes:
        mtimes_ns: of their `frames/`, by key; None where there is none (yet).
        trouble: what could not be read, with the reason.
    """

    mtimes_ns: dict[str, int | None]
    trouble: dict[str, str]


def look_at_folders(library: Library) -> OnDiskFolders:
    """Looks at the folders of all timelapses, without listing any of them.

    Raises:
        ArchiveUnavailable: the folder of all cameras cannot be listed.
    """
    mtimes_ns: dict[str, int | None] = {}
    trouble: dict[str, str] = {}
    try:
        cameras = [name for name in list_subfolders(library.cameras) if is_camera_folder(name)]
    except FileNotFoundError:
        cameras = []
    for camera in cameras:
        try:
            for key, path in _list_timelapses(library, camera):
                mtimes_ns[key] = _read_mtime_ns(key, path, trouble)
        except ArchiveUnavailable as error:
            trouble[camera] = str(error)
        except FileNotFoundError:
            continue  # removed while we looked
    return OnDiskFolders(mtimes_ns=mtimes_ns, trouble=trouble)


def _list_timelapses(library: Library, camera: str) -> Iterator[tuple[str, str]]:
    folder = inside(library.cameras, camera)
    for name in list_subfolders(folder):
        try:
            yield timelapse_key(camera, name), inside(folder, name, FRAMES_FOLDER)
        except ValueError:
            continue  # a plan reports it


def _read_mtime_ns(key: str, path: str, trouble: dict[str, str]) -> int | None:
    try:
        return os.stat(path).st_mtime_ns
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not os.path.islink(path):
            return None
        trouble[key] = str(unavailable(path, error))
        return None


def find_unrecorded(library: Library, key: str, found: FolderListing, names: list[str] | None = None) -> pl.DataFrame:
    """Listed sources (`LISTED` columns), oldest file first, of which no variant is recorded as made or refused.

    The manifest is read, not the inventory: a source that was listed and whose run was then killed is in the inventory
    only. One variant stands for all, as all variants of a source are made and recorded together; a whole `generate`
    finds others that are missing.
    """
    listed = sources_of([SourceListing(key=key, found=found, looked_at=datetime.now(UTC))])
    only, names = names, names or (listed["source_name"].to_list() if listed.height <= _FEW_NAMES else None)
    settings = for_timelapse(library.settings, key)
    plain = [spec.name for spec in settings.specs if settings.policy.is_plain(spec.name)]
    if settings.specs:
        stat = (pl.col("source_n_bytes").alias("n_bytes"), pl.col("source_mtime_ns").alias("mtime_ns"))
        mine = pl.col("variant").is_in(plain[:1] or [spec.name for spec in settings.specs])
        recorded = library.manifest.query(
            [key], lambda rows: rows.filter(mine).select("source_name", *stat).unique(), names=names
        )
    else:  # no variant is required: a source in the inventory is done
        is_settled = pl.col("state") == SETTLED
        recorded = library.inventory.query([key], lambda rows: rows.filter(is_settled).select(_STAT), names=names)
    new = listed.join(recorded, on=_STAT, how="anti")
    if settings.specs and not plain and not new.is_empty():
        new = _select_required(library, key, listed, new, only)
    return new.sort("mtime_ns", "source_name")


def find_refused(library: Library, key: str, found: FolderListing) -> set[str]:
    """Names of listed sources that are recorded as refused in some variant, as they are now."""
    listed = sources_of([SourceListing(key=key, found=found, looked_at=datetime.now(UTC))])
    stat = (pl.col("source_n_bytes").alias("n_bytes"), pl.col("source_mtime_ns").alias("mtime_ns"))
    failed = library.manifest.query(
        [key],
        lambda rows: rows.filter(pl.col("state") == RecordState.FAILED).select("source_name", *stat).unique(),
        names=listed["source_name"].to_list(),
    )
    return set(listed.join(failed, on=_STAT, how="semi")["source_name"])


def _select_required(
    library: Library, key: str, listed: pl.DataFrame, new: pl.DataFrame, only: list[str] | None
) -> pl.DataFrame:
    """The new sources that must have some variant by the policy."""
    specs = for_timelapse(library.settings, key).specs
    required = [find_required_sources(library, [key], listed, spec, only=only).select("source_name") for spec in specs]
    return new.join(pl.concat(required).unique(), on="source_name", how="semi")
