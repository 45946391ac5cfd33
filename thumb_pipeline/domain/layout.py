"""Where files lie in a library: timelapse keys and the folders they name, as relative POSIX paths.

`cameras/camera-{id}/timelapse-{id}/frames/` holds the sources; variant folders lie beside `frames/`, in the library or
in the same tree under another root. What the files are called is in `names`.
"""

import re

CAMERAS_FOLDER = "cameras"
FRAMES_FOLDER = "frames"
SETTINGS_NAME = "thumbs.toml"
STATE_FOLDER = ".thumb_pipeline"
"""Where a library keeps its state unless `storage.state` says otherwise."""

TRASH_FOLDER = ".thumb_pipeline-trash"
"""Holds what `sweep` and `purge` removed, one folder a run. Beside the variants' `cameras/`: a removal is a rename."""

RESERVED_FOLDERS = frozenset({FRAMES_FOLDER, "overlays", "videos"})
"""Folders of a timelapse that other programs own; a variant never lies in one."""

MAX_KEY_LENGTH = 200

_CAMERA = re.compile(r"camera-[A-Za-z0-9._-]+")
_TIMELAPSE = re.compile(r"timelapse-[A-Za-z0-9._-]+")


def is_camera_folder(name: str) -> bool:
    """Whether a folder name directly below `cameras/` is a camera's."""
    return _CAMERA.fullmatch(name) is not None and ".." not in name


def is_timelapse_folder(name: str) -> bool:
    """Whether a folder name directly below a camera's folder is a timelapse's."""
    return _TIMELAPSE.fullmatch(name) is not None and ".." not in name


def timelapse_key(camera_folder: str, timelapse_folder: str) -> str:
    """The partition key of two folder names, such as `camera-1/timelapse-2`.

    Raises:
        ValueError: the names are not those of a camera and a timelapse, or the key is longer than 200 characters.
            Dagster itself checks no key, but reads `,`, `...` and `..` in one as ranges and other places.
    """
    key = f"{camera_folder}/{timelapse_folder}"
    if not is_camera_folder(camera_folder) or not is_timelapse_folder(timelapse_folder):
        raise ValueError(f"{key!r} is not of the form camera-ID/timelapse-ID with letters, digits, '.', '_' and '-'")
    if len(key) > MAX_KEY_LENGTH:
        raise ValueError(f"{key!r} has {len(key)} characters; at most {MAX_KEY_LENGTH} fit a partition key")
    return key


def parse_key(key: str) -> tuple[str, str]:
    """Camera folder and timelapse folder of a key: the inverse of `timelapse_key`, with its errors."""
    camera, _, timelapse = key.partition("/")
    timelapse_key(camera, timelapse)
    return camera, timelapse


def is_key(text: str) -> bool:
    """Whether a text is the key of a timelapse; a key from outside may be any text."""
    try:
        parse_key(text)
    except ValueError:
        return False
    return True


def split_variant_path(path: str) -> tuple[str, str]:
    """Folder and file name (as text) of a variant's path below its timelapse's folder.

    Raises:
        ValueError: it is not a folder and a file name, or variants may not lie in that folder.
    """
    folder, _, name = path.partition("/")
    is_plain = all(part not in ("", ".", "..") and "\0" not in part for part in (folder, name))
    if not is_plain or "/" in name or folder.casefold() in RESERVED_FOLDERS:
        raise ValueError(f"{path!r} is not the path of a variant: name it as folder/file, and not in frames/")
    return folder, name


def timelapse_folder(key: str) -> str:
    """The folder of a timelapse, relative to the library (or to the variants' root)."""
    camera, timelapse = parse_key(key)
    return f"{CAMERAS_FOLDER}/{camera}/{timelapse}"
