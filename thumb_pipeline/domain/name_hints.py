"""Guesses from the name of an unexpected file which variant of which source it could be.

More tolerant than `names`: the folder, tag, extension, letter case or time format may differ. The result is only a
hint. `analytics.matching` decides which source it fits; `stages.repair.match_orphans` compares the picture's size.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from thumb_pipeline.domain.variants import VariantSpec

_ENDING = re.compile(r"\.(?:jpe?g|png|webp|avif)$", re.IGNORECASE)
_WHEN = r"(?:[0-9]{8}|day[0-9]{3,6})_[0-9]{6}"
_TIMELAPSE = re.compile(r"timelapse-([a-z0-9.-]+)_", re.IGNORECASE)
_TAGGED_INSIDE = re.compile(rf"(?P<head>.+)_(?P<tag>[a-z][a-z0-9-]*)_(?P<when>{_WHEN})", re.IGNORECASE)
_TAGGED_BEHIND = re.compile(r"(?P<head>.+)_(?P<tag>[a-z][a-z0-9-]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class NameHint:
    """One possible meaning of a file name.

    Attributes:
        variant: the variant that the file would be.
        sources: names that its source could have (lower case, with or without extension), likeliest first.
        timelapse_id: the id in the name, as in `timelapse-2_…`; None where it has none.
        when: the part of the name that could state a time.
    """

    variant: str
    sources: tuple[str, ...]
    timelapse_id: str | None
    when: str


def hints(variant_path: str, specs: Sequence[VariantSpec]) -> Iterator[NameHint]:
    """The possible meanings of a file's folder and name, likeliest first; none without a picture's extension.

    The tag decides which variant it is; if the settings have no such tag, the folder decides.

    Args:
        variant_path: folder/name, as text.
        specs: every variant of the settings.
    """
    folder, _, name = variant_path.partition("/")
    ending = _ENDING.search(name)
    if ending is None:
        return
    stem = name[: ending.start()]
    tag, untagged = _untagged(stem)
    tagged = [spec for spec in specs if tag is not None and spec.tag.lower() == tag]
    tagged.sort(key=lambda spec: spec.folder != folder)
    timelapse = _TIMELAPSE.match(name)
    for spec in tagged or [spec for spec in specs if spec.folder == folder]:
        sources = (untagged,) if tagged else dict.fromkeys((untagged, stem))
        yield NameHint(
            variant=spec.name,
            sources=tuple(source.lower() for source in sources),
            timelapse_id=timelapse[1] if timelapse else None,
            when=untagged,
        )


def _untagged(stem: str) -> tuple[str | None, str]:
    """The tag of a name in lower case (None if it has none), and the name without it."""
    inside = _TAGGED_INSIDE.fullmatch(stem)
    if inside is not None:
        return inside["tag"].lower(), f"{inside['head']}_{inside['when']}"
    behind = _TAGGED_BEHIND.fullmatch(stem)
    return (None, stem) if behind is None else (behind["tag"].lower(), behind["head"])
