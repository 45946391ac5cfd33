"""Opens a library, or makes a folder a library: reads its settings and refuses settings that cannot be used.

Services continue with the last usable settings instead: they open a library with `settings_in_force`.
"""

import os

from thumb_pipeline.domain.layout import CAMERAS_FOLDER, SETTINGS_NAME, TRASH_FOLDER
from thumb_pipeline.domain.paths import inside, under
from thumb_pipeline.domain.settings import Settings, SettingsError, parse_settings
from thumb_pipeline.domain.settings.written import default_settings
from thumb_pipeline.stages.library import roots
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.library.refused import Refused, SettingsUnusable
from thumb_pipeline.stages.library.settings_text import read_toml
from thumb_pipeline.storage import publishing


def open_library(root: str, *, is_own: bool = True) -> Library:
    """Opens an initialised library; writes nothing.

    Args:
        root: its folder.
        is_own: as in `open_with`.

    Raises:
        SettingsUnusable: its settings cannot be used.
        Refused: there is no such folder, or it is not a library.
    """
    root = os.path.realpath(root)
    path = inside(root, SETTINGS_NAME)
    if not os.path.isdir(root):
        raise Refused(f"{root} is not there; check the path, and the mount if it is on another disk")
    if not os.path.isfile(path):
        raise Refused(
            f"{root} is no library ({SETTINGS_NAME} is absent); check the mount if it was one, "
            f"or make it one: thumb-pipeline init {root}"
        )
    try:
        with open(path, "rb") as file:
            written = file.read()
    except OSError as error:
        raise SettingsUnusable(f"{path} cannot be read ({error.strerror}); let this user read it") from error
    return open_with(root, written, is_own=is_own)


def open_with(root: str, written: bytes, *, is_own: bool = True) -> Library:
    """Opens a library with the given settings, whatever its `thumbs.toml` says now.

    Args:
        root: the library's folder, absolute and without links.
        written: the text of the settings.
        is_own: whether folders outside of the library must be its own; False only in order to mark them as its own.

    Raises:
        SettingsUnusable: these settings cannot be used.
    """
    path = inside(root, SETTINGS_NAME)
    settings = _parsed(written, path)
    library = Library(
        root=root,
        state=resolve_folder(root, settings.storage.state),
        variants_root=resolve_folder(root, settings.storage.variants),
        settings=settings,
        written=written,
    )
    _refuse_overlaps(library, path)
    if is_own:
        _refuse_foreign(library, path)
    return library


def initialise(root: str) -> bool:
    """Makes a folder a library by writing `thumbs.toml`; changes nothing and returns False if the file exists already.

    Raises:
        Refused: `root` is a file or cannot be written, or the `thumbs.toml` in it cannot be used.
    """
    path = inside(os.path.realpath(root), SETTINGS_NAME)
    if os.path.exists(path):
        open_library(root)
        return False
    try:
        os.makedirs(root, exist_ok=True)
        publishing.publish(os.fsencode(path), default_settings().encode(), writer="init", durable=True)
    except (OSError, publishing.CannotWrite, publishing.NameTaken) as error:
        raise Refused(f"{root} cannot be made a library: {error}") from error
    return True


def _parsed(written: bytes, path: str) -> Settings:
    try:
        tables = read_toml(written)
    except ValueError as error:
        raise SettingsUnusable(f"{path} is not TOML: {error}; correct that line") from error
    try:
        return parse_settings(tables)
    except SettingsError as error:
        raise SettingsUnusable("\n".join(f"{path}: {line}" for line in str(error).splitlines())) from error


def resolve_folder(root: str, written: str) -> str:
    """The absolute path, without links, of a path in the settings."""
    return os.path.realpath(under(root, os.path.expanduser(written)))


def _refuse_foreign(library: Library, path: str) -> None:
    """Folders outside of the library must be its own, or empty: their content is treated as written by the library."""
    try:
        if library.state != library.usual_state:
            roots.refuse_foreign("storage.state", library.state, library.root)
        if library.variants_root != library.root:
            roots.refuse_foreign("storage.variants", library.variants_root, library.root)
    except roots.ForeignFolder as foreign:
        raise SettingsUnusable(f"{path}: {foreign}") from foreign


def _refuse_overlaps(library: Library, path: str) -> None:
    """Sources, state and variants must not lie in one another, also not by way of links or `..`."""
    roots = {CAMERAS_FOLDER + "/": os.path.realpath(library.cameras), "storage.state": library.state}
    if library.variants_root != library.root:
        roots["storage.variants"] = library.variants_root
    named = list(roots.items())
    for i, (name, folder) in enumerate(named):
        for other_name, other in named[i + 1 :]:
            if os.path.commonpath([folder, other]) in (folder, other):
                raise SettingsUnusable(
                    f'{path}: {other_name} = "{other}" overlaps {name} ("{folder}"); choose a folder outside of it'
                )
    if os.path.commonpath([library.state, library.trash]) in (library.state, library.trash):
        raise SettingsUnusable(
            f'{path}: storage.state = "{library.state}" overlaps {TRASH_FOLDER}, which sweep and purge move files to; '
            "choose another folder"
        )
