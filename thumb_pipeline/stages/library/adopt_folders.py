"""Marks folders outside of a library as its own: folders that an earlier version made, or that a lost library left.

`roots` decides what a folder is to a library. Only the marker in a folder is changed.
"""

from dataclasses import dataclass

from thumb_pipeline.stages.library import roots
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.library.open import open_library
from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline.stages.library.roots import Standing

_TO_BE_MARKED = (Standing.UNMARKED, Standing.ANOTHERS, Standing.MOVED)
_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideFolder:
    """A folder outside of a library that the library writes into.

    Attributes:
        setting: the setting that names it.
        folder: its path.
        standing: what it was to the library before.
        others: entries that the library did not make; they are never touched.
    """

    setting: str
    folder: str
    standing: Standing
    others: tuple[str, ...]

    @property
    def is_to_be_marked(self) -> bool:
        """Whether it needs a new marker to become the library's; an empty folder is marked at its first use."""
        return self.standing in _TO_BE_MARKED


def outside_folders(library: Library) -> list[OutsideFolder]:
    """The folders outside of a library that its settings name.

    Raises:
        Refused: a folder cannot be read.
    """
    folders = []
    if library.state != library.usual_state:
        folders.append(_inspect_folder(library, "storage.state", library.state, roots.STATE_NAMES))
    if library.variants_root != library.root:
        folders.append(_inspect_folder(library, "storage.variants", library.variants_root, roots.VARIANTS_NAMES))
    return folders


def adopt_folders(root: str, *, accept_others: bool = False) -> tuple[Library, list[OutsideFolder]]:
    """Marks the folders outside of a library as its own; returns what they were before.

    Args:
        root: the library's folder.
        accept_others: also mark folders that hold entries which the library did not make.

    Raises:
        Refused: there is no library, or a folder belongs to another library that exists, or holds other entries.
    """
    library = open_library(root, is_own=False)
    folders = outside_folders(library)
    for each in folders:
        _refuse(library, each, accept_others=accept_others)
    for each in folders:
        if each.is_to_be_marked:
            library.mark(each.folder)
    return library, folders


def _inspect_folder(library: Library, setting: str, folder: str, ours: frozenset[str]) -> OutsideFolder:
    try:
        others = set(roots.entries(folder)) - {roots.MARKER_NAME} - ours
        standing = roots.standing(folder, library.root)
    except roots.ForeignFolder as foreign:
        raise Refused(str(foreign)) from foreign
    return OutsideFolder(setting=setting, folder=folder, standing=standing, others=tuple(sorted(others)))


def _refuse(library: Library, each: OutsideFolder, *, accept_others: bool) -> None:
    owner = roots.read_owner(each.folder)
    if each.standing in (Standing.ANOTHERS, Standing.COPIED) and owner is not None and roots.is_there(owner):
        raise Refused(
            f"{each.folder} belongs to the library in {owner.root}, which is there: name another folder as "
            f"{each.setting} in the thumbs.toml of {library.root}"
        )
    if each.is_to_be_marked and each.others and not accept_others:
        more = f" and {len(each.others) - _SHOWN} more" if len(each.others) > _SHOWN else ""
        raise Refused(
            f"{each.folder} holds what this library did not make: {', '.join(each.others[:_SHOWN])}{more}. None of "
            "that would be touched; to use the folder all the same, repeat with --yes, or name an empty folder"
        )
