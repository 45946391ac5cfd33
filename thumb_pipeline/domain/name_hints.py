"""Reads the name of a file that lies where nothing expects it, and says what it could be a variant of.

Generous where `names` is exact: another folder, tag, extension, case or way to write the time. What it tells is a
hint only; which source it fits, and whether the picture agrees, is decided in `analytics.matching`.
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
    """What a name could mean.

    Attributes:
        variant: which variant it would be.
        sources: names (small letters, with or without extension) that its source could have, likeliest first.
        timelapse_id: the id it states, as in `timelapse-2_…`; None where it states none.
        when: the part that could state a time.
    """

    variant: str
    sources: tuple[str, ...]
    timelapse_id: str | None
    when: str


def hints(variant_path: str, specs: Sequence[VariantSpec]) -> Iterator[NameHint]:
    """What a file's folder and name could mean, likeliest first; nothing for a name that is no picture's.

    The tag decides which variant it is; where it is none that the settings know, the folder does.

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
    found = _TIMELAPSE.match(name)
    for spec in tagged or [spec for spec in specs if spec.folder == folder]:
        sources = (untagged,) if tagged else dict.fromkeys((untagged, stem))
        yield NameHint(
            variant=spec.name,
            sources=tuple(source.lower() for source in sources),
            timelapse_id=found[1] if found else None,
            when=untagged,
        )


def _untagged(stem: str) -> tuple[str | None, str]:
    """The tag of a name in small letters, and the name without it."""
    inside = _TAGGED_INSIDE.fullmatch(stem)
    if inside is not None:
        return inside["tag"].lower(), f"{inside['head']}_{inside['when']}"
    behind = _TAGGED_BEHIND.fullmatch(stem)
    return (None, stem) if behind is None else (behind["tag"].lower(), behind["head"])
