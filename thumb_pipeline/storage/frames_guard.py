"""Recognises folders of sources under any path, by device and inode.

A bind mount or a link can show the frames of one timelapse where the variants of another should be. Files are never
written, moved or removed in such a folder. Code that changes files opens the folder first and checks it here (`admit`);
everything after that is done relative to the opened folder.
"""

import os
import time
from dataclasses import dataclass, field
from functools import lru_cache

from thumb_pipeline.domain import names
from thumb_pipeline.domain.layout import FRAMES_FOLDER, is_camera_folder, is_timelapse_folder
from thumb_pipeline.domain.paths import inside
from thumb_pipeline.storage.publishing import FolderClosed

_LEAST_S = 1.0
_LOOK_SHARE = 0.05
"""Looking for frames folders takes at most this share of the time: a slow disk has thousands of them."""

Identity = tuple[int, int]
"""Device and inode of a folder."""


class HoldsFrames(FolderClosed):
    """A folder is that of a timelapse's sources, under another path."""


@dataclass(slots=True)
class FramesGuard:
    """The frames folders of a library, as this process last saw them.

    A folder that was admitted is admitted again after one look, as long as it is the same folder. Another folder under
    its path, or a new one, is compared with all frames folders. These are looked up again when the last lookup is long
    enough ago (`_LEAST_S`, `_LOOK_SHARE`).

    Attributes:
        cameras: the folder of all cameras, absolute.
    """

    cameras: str
    _frames: dict[Identity, str] = field(default_factory=dict)
    _looked_s: float = float("-inf")
    _took_s: float = 0.0
    _admitted: dict[bytes, Identity] = field(default_factory=dict)

    def admit(self, folder: int, path: bytes) -> None:
        """Makes sure that an opened folder holds no sources.

        Args:
            folder: its descriptor.
            path: the path by which it was opened.

        Raises:
            HoldsFrames: it is a frames folder.
            OSError: it cannot be looked at.
        """
        self.admit_seen(os.fstat(folder), path)

    def admit_seen(self, status: os.stat_result, path: bytes) -> None:
        """The same by the `stat` result of a folder that is not open; changing its files needs `admit` as well."""
        mine = _identity(status)
        if self._admitted.get(path) == mine:
            return
        frames = self._look_up_frames().get(mine)
        if frames is not None and not _is_still(frames, mine):  # the inode of a removed folder is reused
            frames = self._look_up_frames(afresh=True).get(mine)
        if frames is not None:
            raise HoldsFrames(
                f"{names.to_text(path)} shows the files of {frames} (a mount or a link?), and nothing is "
                "written or removed there; unmount it or remove the link, then run the same command again"
            )
        self._admitted[path] = mine

    def _look_up_frames(self, *, afresh: bool = False) -> dict[Identity, str]:
        """Paths by identity. A folder that cannot be looked at is left out: nothing can be mounted from it either."""
        now_s = time.monotonic()
        if afresh or now_s - self._looked_s >= max(_LEAST_S, self._took_s / _LOOK_SHARE):
            self._frames = dict(_find_frames_folders(self.cameras))
            self._looked_s, self._took_s = time.monotonic(), time.monotonic() - now_s
        return self._frames


@lru_cache(maxsize=16)
def guard_of(cameras: str) -> FramesGuard:
    """The guard of a library: one for the process, so that admitted folders are remembered.

    Args:
        cameras: the folder of all its cameras, absolute.
    """
    return FramesGuard(cameras)


def _find_frames_folders(cameras: str) -> list[tuple[Identity, str]]:
    folders = []
    for camera in filter(is_camera_folder, _list_entries(cameras)):
        for timelapse in filter(is_timelapse_folder, _list_entries(inside(cameras, camera))):
            path = inside(cameras, camera, timelapse, FRAMES_FOLDER)
            try:
                folders.append((_identity(os.stat(path)), path))
            except OSError:
                continue
    return folders


def _list_entries(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _is_still(path: str, identity: Identity) -> bool:
    try:
        return _identity(os.stat(path)) == identity
    except OSError:
        return False


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino
