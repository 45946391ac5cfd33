"""Lists what lies in a library: its timelapses, their sources, their variant folders.

Nothing is compared here: `survey` finds what changed, `plan` what is missing.
"""

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import polars as pl

from thumb_pipeline.analytics.expected import folder_of, is_source_name
from thumb_pipeline.domain.layout import CAMERAS_FOLDER, is_camera_folder, timelapse_key
from thumb_pipeline.domain.paths import inside
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline.storage.folders import (
    ArchiveUnavailable,
    FolderListing,
    list_files,
    list_subfolders,
    look_at,
    unavailable,
)
from thumb_pipeline.storage.frames_guard import HoldsFrames

LISTED = {"timelapse": pl.String, "source_name": pl.String, "n_bytes": pl.Int64, "mtime_ns": pl.Int64}
"""The columns of a table of listed files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """The timelapses of a library.

    Attributes:
        keys: timelapses that have a folder on the disk.
        vanished: timelapses that have an inventory and no folder any more.
        unmatched: folders below `cameras/` that belong to no camera or timelapse, relative to the library.
        stray: timelapses that have a folder below a separate root of variants, but neither a folder in the library nor
            an inventory.
        trouble: cameras whose folder cannot be read, with the reason. Their timelapses are in none of the lists above.
    """

    keys: list[str]
    vanished: list[str]
    unmatched: list[str]
    stray: list[str]
    trouble: dict[str, str] = field(default_factory=dict)

    def reasons_against(self, keys: Sequence[str] = ()) -> dict[str, str]:
        """Why nothing is known of some timelapses: the reasons by key; without keys, all reasons by camera."""
        if not keys:
            return dict(self.trouble)
        return {key: self.trouble[_camera_of(key)] for key in keys if _camera_of(key) in self.trouble}

    def refuse_unreadable(self, keys: Sequence[str] = ()) -> None:
        """Makes sure that the cameras of some timelapses can be read; without keys, that all cameras can.

        Raises:
            ArchiveUnavailable: a camera cannot be read; the message gives the reasons.
        """
        reasons = sorted(set(self.reasons_against(keys).values()))
        if reasons:
            raise ArchiveUnavailable("\n".join(reasons))


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceListing:
    """What lies in one `frames/` folder, hidden and temporary names included, and when it was looked at."""

    key: str
    found: FolderListing
    looked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantListing:
    """What lies in one variant folder of some timelapses.

    Attributes:
        files: timelapse, variant_path, n_bytes, mtime_ns.
        temporaries: our own unfinished files, by folder.
    """

    files: pl.DataFrame
    temporaries: dict[str, list[bytes]]


def discover(library: Library) -> Discovery:
    """Finds the library's timelapses, on the disk and in the inventory. A library without `cameras/` is empty.

    Raises:
        ArchiveUnavailable: a folder cannot be listed, or the library is gone.
    """
    discovery = discover_apart(library)
    discovery.refuse_unreadable()
    return discovery


def discover_apart(library: Library) -> Discovery:
    """Finds them likewise; a camera whose folder cannot be read is reported as trouble and does not hide the others.

    Callers must look at the trouble before they conclude anything from a timelapse that was not found.

    Raises:
        ArchiveUnavailable: the folder of all cameras cannot be listed, or the library is gone.
    """
    here = _look_below(library.root)
    elsewhere = _look_below(library.variants_root) if library.variants_root != library.root else _Tree()
    trouble = {**elsewhere.trouble, **here.trouble}
    keys, known = _readable(here.keys, trouble), _readable(library.inventory.keys(), trouble)
    library.refuse_if_gone()  # a library without cameras is empty only if it is still there
    return Discovery(
        keys=keys,
        vanished=sorted({*known} - {*keys}),
        unmatched=here.unmatched,
        stray=sorted({*_readable(elsewhere.keys, trouble)} - {*keys, *known}),
        trouble=trouble,
    )


@dataclass(slots=True)
class _Tree:
    """A tree of cameras: the keys of its timelapses, its other folders, and the cameras that cannot be read."""

    keys: list[str] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)
    trouble: dict[str, str] = field(default_factory=dict)


def _look_below(root: str) -> _Tree:
    tree = _Tree()
    cameras = inside(root, CAMERAS_FOLDER)
    for camera in _list_subfolders(cameras):
        if not is_camera_folder(camera):
            tree.unmatched.append(f"{CAMERAS_FOLDER}/{camera}")
            continue
        try:
            timelapses = _list_subfolders(inside(cameras, camera))
        except ArchiveUnavailable as error:
            tree.trouble[camera] = str(error)
            continue
        for timelapse in timelapses:
            try:
                tree.keys.append(timelapse_key(camera, timelapse))
            except ValueError:
                tree.unmatched.append(f"{CAMERAS_FOLDER}/{camera}/{timelapse}")
    return tree


def _camera_of(key: str) -> str:
    return key.partition("/")[0]


def _readable(keys: list[str], trouble: Mapping[str, str]) -> list[str]:
    return [key for key in keys if _camera_of(key) not in trouble] if trouble else keys


def list_sources(library: Library, key: str, *, only: Sequence[str] | None = None) -> SourceListing:
    """Lists the `frames/` folder of one timelapse.

    Args:
        library: the library.
        key: the timelapse.
        only: look at these source names alone (a sensor's hint); costs grow with their number, not with the archive.

    Raises:
        ArchiveUnavailable: the folder cannot be read; nothing may be concluded from it.
    """
    folder = library.frames(key)
    found = list_files(folder) if only is None else look_at(folder, only)
    return SourceListing(key=key, found=found, looked_at=datetime.now(UTC))


def sources_of(listings: Sequence[SourceListing]) -> pl.DataFrame:
    """The sources among the listed files (`LISTED` columns); files with hidden and temporary names are no sources."""
    return as_table([(listing.key, listing.found) for listing in listings]).filter(is_source_name())


def list_variants(library: Library, keys: Sequence[str], folder: str) -> VariantListing:
    """Lists one variant folder of some timelapses.

    Raises:
        ArchiveUnavailable: a folder cannot be read.
    """
    listings, temporaries = [], {}
    for key in keys:
        path = variant_folder(library, key, folder)
        found = list_files(path)
        listings.append((key, found))
        if found.temporaries:
            temporaries[path] = found.temporaries
    return VariantListing(files=_as_variants(as_table(listings), folder), temporaries=temporaries)


def look_at_variants(library: Library, paths: pl.DataFrame) -> VariantListing:
    """Looks at some variants alone (timelapse, variant_path); the cost grows with their number."""
    split = paths.drop_nulls().unique().with_columns(folder_of())
    parts = [_as_variants(pl.DataFrame(schema=LISTED), "")]
    for (key, folder), wanted in split.partition_by("timelapse", "folder", as_dict=True).items():
        files = wanted["variant_path"].str.strip_prefix(f"{folder}/").to_list()
        found = look_at(variant_folder(library, str(key), str(folder)), files)
        parts.append(_as_variants(as_table([(str(key), found)]), str(folder)))
    return VariantListing(files=pl.concat(parts), temporaries={})


def variant_folder(library: Library, key: str, folder: str) -> str:
    """The path of a variant folder, which must not be a link: through one, variants could overwrite sources.

    Raises:
        Refused: it is a link, or shows the sources of some timelapse under another name (a bind mount).
    """
    path = inside(library.variants(key), folder)
    try:
        status = os.lstat(path)
        library.frames_guard.admit_seen(status, os.fsencode(path))
    except (FileNotFoundError, NotADirectoryError):
        return path
    except HoldsFrames as holds:
        raise Refused(str(holds)) from holds
    except OSError as error:
        raise unavailable(path, error) from error
    if stat.S_ISLNK(status.st_mode):
        raise Refused(
            f"{path} is a link, and variants are only written into folders of their own; "
            "remove it, and name another disk as storage.variants in thumbs.toml, or mount it there"
        )
    return path


def as_table(listings: Sequence[tuple[str, FolderListing]]) -> pl.DataFrame:
    """Folder listings under their timelapses' keys, as one table of `LISTED` columns."""
    counts = [len(found.names) for _, found in listings]
    keys = pl.DataFrame(
        {"timelapse": [key for key, _ in listings], "n": counts}, schema={"timelapse": pl.String, "n": pl.UInt32}
    )
    return pl.DataFrame(
        {
            "timelapse": keys.filter(pl.col("n") > 0).select(pl.col("timelapse").repeat_by("n").explode()).to_series(),
            "source_name": _joined([pl.Series(found.names, dtype=pl.String) for _, found in listings], pl.String),
            "n_bytes": _joined([pl.Series(found.n_bytes, dtype=pl.Int64) for _, found in listings], pl.Int64),
            "mtime_ns": _joined([pl.Series(found.mtimes_ns, dtype=pl.Int64) for _, found in listings], pl.Int64),
        }
    )


def _joined(parts: list[pl.Series], kind: type[pl.DataType]) -> pl.Series:
    return pl.concat(parts) if parts else pl.Series([], dtype=kind)


def _as_variants(listed: pl.DataFrame, folder: str) -> pl.DataFrame:
    path = pl.lit(folder + "/") + pl.col("source_name")
    return listed.select("timelapse", path.alias("variant_path"), "n_bytes", "mtime_ns")


def _list_subfolders(folder: str) -> Iterable[str]:
    try:
        return list_subfolders(folder)
    except FileNotFoundError:
        return []
