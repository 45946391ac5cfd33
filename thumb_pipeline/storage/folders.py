"""Lists folders of a local (or mounted) file system.

One pass with sizes and mtimes, names as reversible text, and a clear difference between an empty folder and one that
could not be read. Writing is in `publishing`.
"""

import os
import stat
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from thumb_pipeline.domain import names
from thumb_pipeline.domain.paths import inside
from thumb_pipeline.storage import stopping


class ArchiveUnavailable(Exception):
    """A folder could not be listed completely; it must not be taken for an empty one."""


@dataclass(slots=True)
class FolderListing:
    """The regular files of one folder, column by column, and what else lies in it.

    Attributes:
        names: the files' names as text (`domain.names.to_text`).
        n_bytes: their sizes.
        mtimes_ns: their modification times, nanoseconds since 1970 UTC.
        temporaries: our own unfinished files' names, as on disk.
        others: names of folders, links and special files, as text.
    """

    names: list[str] = field(default_factory=list)
    n_bytes: "array[int]" = field(default_factory=lambda: array("q"))
    mtimes_ns: "array[int]" = field(default_factory=lambda: array("q"))
    temporaries: list[bytes] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


def unavailable(path: str, error: OSError) -> ArchiveUnavailable:
    """The error to raise when `path` cannot be read."""
    return ArchiveUnavailable(f"{path} cannot be read ({error.strerror}); check the disk, its mount, its permissions")


def mtime_ns(status: os.stat_result) -> int:
    """A file's mtime, cut to what 64 bits hold (1677 to 2262): a broken clock can leave a later one on a disk."""
    return max(-(2**63), min(status.st_mtime_ns, 2**63 - 1))


def list_files(folder: str) -> FolderListing:
    """Every regular file directly in `folder`; links are not followed. A folder that does not exist is empty.

    Raises:
        ArchiveUnavailable: the folder exists and cannot be read whole, or a link on the way to it is broken.
        Stopped: a stop was requested.
    """
    stopping.look()
    listing = FolderListing()
    try:
        with os.scandir(folder) as entries:
            _collect(entries, listing)
    except FileNotFoundError as error:
        if _is_behind_broken_link(folder):
            raise unavailable(folder, error) from error
        return FolderListing()
    except OSError as error:
        raise unavailable(folder, error) from error
    listing.names = _texts(listing.names)
    return listing


def _collect(entries: Iterator[os.DirEntry[str]], listing: FolderListing) -> None:
    """The inner loop of every listing, run a million times: attributes are looked up once, names become text later."""
    prefix = names.TEMPORARY_PREFIX
    add_name, add_size, add_mtime = listing.names.append, listing.n_bytes.append, listing.mtimes_ns.append
    for entry in entries:
        name = entry.name
        if name.startswith(prefix):
            listing.temporaries.append(os.fsencode(name))
        elif entry.is_file(follow_symlinks=False):
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # deleted while we listed
            try:
                add_mtime(status.st_mtime_ns)
            except OverflowError:
                add_mtime(mtime_ns(status))
            add_name(name)
            add_size(status.st_size)
        else:
            listing.others.append(names.to_text(os.fsencode(name)))


def look_at(folder: str, wanted: Sequence[str]) -> FolderListing:
    """The same columns for the files of `wanted` (names as text) that exist; the cost grows with the number of names.

    A text that is not the name of a file in a folder (`..`, a slash or a wrong escape in it) counts as absent.

    Raises:
        ArchiveUnavailable: a file's state cannot be read for another reason than its absence, or a link on the way to
            the folder is broken.
    """
    listing = FolderListing()
    for text in dict.fromkeys(wanted):
        try:
            name = names.to_bytes(text)
        except ValueError:
            continue
        if name in (b"", b".", b"..") or b"/" in name or b"\0" in name or len(name) > names.MAX_NAME_BYTES:
            continue
        path = inside(os.fsencode(folder), name)
        try:
            status = os.lstat(path)
        except FileNotFoundError as error:
            if _is_behind_broken_link(folder):
                raise unavailable(folder, error) from error
            continue
        except NotADirectoryError:
            continue
        except OSError as error:
            raise unavailable(f"{folder}/{text}", error) from error
        if stat.S_ISREG(status.st_mode):
            listing.names.append(text)
            listing.n_bytes.append(status.st_size)
            listing.mtimes_ns.append(mtime_ns(status))
        else:
            listing.others.append(text)
    return listing


def holds_files(folder: str) -> bool:
    """Whether there is any regular file in `folder`; stops at the first.

    Raises:
        ArchiveUnavailable: the folder exists and cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            return any(entry.is_file(follow_symlinks=False) for entry in entries)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise unavailable(folder, error) from error


def count_files(folder: str) -> int:
    """The number of regular files directly in `folder`, by their entries alone; 0 if the folder cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sum(entry.is_file(follow_symlinks=False) for entry in entries)
    except OSError:
        return 0


def list_subfolders(folder: str) -> list[str]:
    """Names (as text) of the folders directly in `folder`, in order; links to folders and broken links included.

    Raises:
        FileNotFoundError: `folder` does not exist.
        ArchiveUnavailable: it exists and cannot be read whole.
    """
    try:
        with os.scandir(folder) as entries:
            folders = [entry.name for entry in entries if _may_be_folder(entry)]
            return sorted(names.to_text(os.fsencode(name)) for name in folders)
    except FileNotFoundError as error:
        if _is_broken_link(folder):
            raise unavailable(folder, error) from error
        raise
    except OSError as error:
        raise unavailable(folder, error) from error


def _may_be_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or a link that may lead to one: reading it later says why it cannot be read.

    A circular link, or one into a mount whose disk is dead, must not fail the listing of the folders beside it.
    """
    try:
        return entry.is_dir() or _is_broken_link(entry.path)
    except OSError:
        return True


def _is_behind_broken_link(path: str) -> bool:
    """Whether a path is absent because a link on the way to it is broken."""
    while path and not os.path.lexists(path):
        path = os.path.dirname(path)
    return _is_broken_link(path)


def _is_broken_link(path: str) -> bool:
    """Whether a path is a link without a target: most likely a disk should be mounted there."""
    return os.path.islink(path) and not os.path.exists(path)


_HEAD_TAIL_BYTES = 12


def has_end_marker(path: bytes) -> bool:
    """Whether a file is complete by its own account: it ends as the format in its first bytes demands.

    Knows JPEG (EOI, ISO 10918-1 B.1), PNG (the IEND chunk) and WebP (the RIFF length). Reads 24 bytes, decodes none.
    For every other file, also an unreadable one, the answer is no.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            head = file.read(_HEAD_TAIL_BYTES)
            n_bytes = file.seek(0, os.SEEK_END)
            file.seek(max(0, n_bytes - _HEAD_TAIL_BYTES))
            tail = file.read(_HEAD_TAIL_BYTES)
    except OSError:
        return False
    if head.startswith(b"\xff\xd8\xff"):
        return tail.endswith(b"\xff\xd9")
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return tail == b"\0\0\0\0IEND\xaeB`\x82"
    if head.startswith(b"RIFF") and head[8:] == b"WEBP":
        return int.from_bytes(head[4:8], "little") + 8 in (n_bytes, n_bytes + 1)
    return False


def _texts(raw_names: list[str]) -> list[str]:
    """Names as text. Nearly always all of them are plain, which a single check of the joined names shows."""
    joined = "".join(raw_names)
    if joined.isascii() and joined.isprintable() and "%" not in joined:
        return raw_names
    return [names.to_text(os.fsencode(name)) for name in raw_names]
