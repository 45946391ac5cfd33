"""Decides from which picture each size is made, so that a source is decoded and shrunk as little as possible.

Pure arithmetic on sizes; the steps resample the pixels.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from thumb_pipeline.domain.geometry import Size

LEAST_RATIO = 1.5
"""How many times larger a parent must be, on each side: two resamplings close together blur."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One size to make, and the size it is made from; None means the decoded pixels."""

    size: Size
    parent: Size | None


def chain(sizes: Iterable[Size], source: Size) -> tuple[Link, ...]:
    """The links in the order to make them: largest first, each from the smallest parent that is enough larger.

    Args:
        sizes: upright sizes that show the whole picture.
        source: upright size of the source; a larger size is enlarged, so no other size is made from it.
    """
    ordered = sorted(set(sizes), key=lambda size: (size[0] * size[1], size), reverse=True)
    links: list[Link] = []
    for size in ordered:
        parents = [link.size for link in links if _covers(source, link.size) and _is_enough_larger(link.size, size)]
        links.append(Link(size=size, parent=parents[-1] if parents else None))
    return tuple(links)


def _covers(outer: Size, inner: Size) -> bool:
    return outer[0] >= inner[0] and outer[1] >= inner[1]


def _is_enough_larger(parent: Size, size: Size) -> bool:
    # A side of one pixel cannot shrink, so only the long side of an extreme shape counts.
    return all(ours >= LEAST_RATIO * theirs or ours == theirs == 1 for ours, theirs in zip(parent, size, strict=True))
