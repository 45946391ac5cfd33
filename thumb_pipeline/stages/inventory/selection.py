"""Chooses the timelapses to work on, lists them in batches that bound memory, and refuses listings that look wrong.

`plan` and `verify` do the work.
"""

import difflib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from thumb_pipeline.domain import names
from thumb_pipeline.domain.layout import CAMERAS_FOLDER
from thumb_pipeline.domain.paths import inside
from thumb_pipeline.domain.plain_text import plain
from thumb_pipeline.stages.inventory.listing import SourceListing, discover, discover_apart, list_sources
from thumb_pipeline.stages.inventory.survey import Shrinkage, Survey, survey
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.library.refused import Refused

_BATCH_ROWS = 300_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What the operator asked for; empty tuples mean everything.

    Attributes:
        timelapses: keys.
        sources: source names as text; only these are looked at, so the cost grows with their number.
        variants: variant names.
        force: make valid variants again, too.
        retry_failed: try refused sources again although nothing changed.
        trust_existing: adopt another program's variants if they decode and fit the box.
        accept_shrink: believe an empty or shrunken listing.
        is_hint: a watcher named the sources: one that is gone again is no mistake, and nothing waits for pending ones.
    """

    timelapses: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    force: bool = False
    retry_failed: bool = False
    trust_existing: bool = False
    accept_shrink: bool = False
    is_hint: bool = False


def choose_timelapses(library: Library, selection: Selection) -> tuple[list[str], list[str]]:
    """Keys of the selected timelapses, vanished ones included, and the folders that belong to no timelapse.

    Raises:
        Refused: the selection names what is not there.
        ArchiveUnavailable: the folder of a selected timelapse's camera cannot be listed; where all timelapses are
            selected, the folder of any camera.
    """
    for name in selection.variants:
        refuse_unknown("variant", name, list(library.settings.variants))
    for name in () if selection.is_hint else selection.sources:
        refuse_no_name(name)
    found = discover_apart(library)
    found.refuse_unreadable(selection.timelapses)
    known = [*found.keys, *found.vanished]
    for key in selection.timelapses:
        refuse_unknown("timelapse", key, known)
    return sorted(set(selection.timelapses or known)), found.unmatched


def batches(library: Library, keys: Sequence[str], only: Sequence[str] | None) -> Iterator[list[SourceListing]]:
    """Lists timelapses in batches; a batch ends with the timelapse that takes it beyond `_BATCH_ROWS` files."""
    batch: list[SourceListing] = []
    n_listed = 0
    for key in keys:
        batch.append(list_sources(library, key, only=only))
        n_listed += len(batch[-1].found.names)
        if n_listed > _BATCH_ROWS:
            yield batch
            batch, n_listed = [], 0
    if batch:
        yield batch


def refuse_unknown(kind: str, name: str, known: list[str]) -> None:
    """Refuses a name that does not exist, and suggests similar ones.

    Raises:
        Refused: there is no such name.
    """
    if name in known:
        return
    shown = plain(name, most=300)
    close = difflib.get_close_matches(shown, known, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are: {', '.join(known[:10]) or 'none'}"
    raise Refused(f'no {kind} "{shown}"; {hint}')


def refuse_no_name(text: str) -> None:
    """Refuses a text that cannot be the name of a file, such as one with a `%` that `names.to_text` would have escaped.

    Raises:
        Refused: with what to write instead.
    """
    try:
        is_one = b"/" not in names.to_bytes(text)
    except ValueError:
        is_one = False
    if not is_one:
        raise Refused(
            f'"{plain(text, most=300)}" is no name of a source; name the file as it lies in frames/, and write a % in '
            "it as %25"
        )


def refuse_absent_variants(library: Library, selection: Selection, n_recorded: int) -> None:
    """Refuses to render everything again into the empty mount point of a disk that is not mounted.

    Raises:
        Refused: variants are recorded, and the separate tree that holds them is not there.
    """
    tree = inside(library.variants_root, CAMERAS_FOLDER)
    if library.variants_root == library.root or selection.accept_shrink or not n_recorded or os.path.isdir(tree):
        return
    raise Refused(
        f"{tree} is not there, and {n_recorded} variants are recorded in it: check that the disk of storage.variants "
        "is mounted; if the variants are really gone: thumb-pipeline generate --accept-shrink"
    )


def refuse_shrunken(selection: Selection, shrunken: Sequence[Shrinkage]) -> None:
    """Refuses listings that lost so many sources that the disk may not be mounted.

    Raises:
        Refused: with the numbers, what to check, and how to accept them.
    """
    if shrunken and not selection.accept_shrink:
        raise Refused(complaint_about(shrunken, "--accept-shrink"))


def complaint_about(shrunken: Sequence[Shrinkage], option: str) -> str:
    """The message about listings that are not believed, with the option that accepts them."""
    lines = [f"  {s.timelapse}: {s.n_known} sources recorded, {s.n_found} found" for s in shrunken[:20]]
    more = [f"  … and {len(shrunken) - 20} more"] if len(shrunken) > 20 else []
    return "\n".join(
        (
            "these timelapses lost more sources than is believable:",
            *lines,
            *more,
            f"check that the disk is mounted; if the frames are really gone, repeat with {option}",
        )
    )


def find_timelapses(library: Library, chosen: Sequence[str]) -> list[str]:
    """Keys of the chosen timelapses, or of all: on the disk, in the inventory, or among the variants only.

    Raises:
        Refused: there is no such timelapse.
        ArchiveUnavailable: a folder cannot be listed.
    """
    found = discover(library)
    known = sorted({*found.keys, *found.vanished, *found.stray})
    for key in chosen:
        refuse_unknown("timelapse", key, known)
    return sorted(set(chosen)) if chosen else known


def surveys(library: Library, keys: Sequence[str]) -> Iterator[Survey]:
    """Surveys whole timelapses, in the same batches as a plan; nothing is planned."""
    for batch in batches(library, keys, None):
        yield survey(library, batch)
