"""The corpus of real pictures and what its manifest says of each file; empty where there is no corpus.

The folder is named by THUMB_PIPELINE_CORPUS (default: `../shared/corpus` beside the repository).
"""

import csv
import os
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(os.environ.get("THUMB_PIPELINE_CORPUS", Path(__file__).parents[2] / ".." / "shared" / "corpus")).resolve()

_ALREADY_UPRIGHT = {"TIFF"}
"""Formats whose sizes in the manifest are upright: the decoder that measured them applies the orientation itself."""

_OF_PILLOW = {"JPEG", "MPO", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the manifest."""

    file: str
    expected: str
    format: str
    size: tuple[int, int] | None
    orientation: int

    def __str__(self) -> str:
        return self.file.encode("ascii", "replace").decode()

    @property
    def must_render(self) -> bool:
        return self.expected.startswith("ok") and " or " not in self.expected and "-or-" not in self.expected

    @property
    def must_be_refused(self) -> bool:
        return self.expected.startswith(("must-be-rejected", "clean-error", "unsupported"))

    @property
    def is_of_pillow(self) -> bool:
        return self.format in _OF_PILLOW

    @property
    def upright_size(self) -> tuple[int, int] | None:
        if self.size is None or self.format in _ALREADY_UPRIGHT or self.orientation not in (5, 6, 7, 8):
            return self.size
        return self.size[1], self.size[0]


def _rows() -> list[Row]:
    manifest = CORPUS / "MANIFEST.tsv"
    if not manifest.exists():
        return []
    with manifest.open(encoding="utf-8", newline="") as lines:
        return [_row(line) for line in csv.DictReader(lines, delimiter="\t")]


def _row(line: dict[str, str]) -> Row:
    size = (int(line["width"]), int(line["height"])) if line["width"] and line["height"] else None
    orientation = int(line["exif_orientation"]) if line["exif_orientation"].isdigit() else 1
    return Row(file=line["file"], expected=line["expected"], format=line["format"], size=size, orientation=orientation)


ROWS = _rows()
