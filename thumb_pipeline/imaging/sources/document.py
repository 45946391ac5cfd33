"""Opens the first page of PDF documents with PDFium.

The size of a page is the size of its crop box in points of 1/72 inch, after the page's own rotation. PDFium as it is
built for Python runs no JavaScript and fetches nothing; it replaces missing fonts by its own.
"""

import contextlib
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from PIL import Image

from thumb_pipeline.imaging.sources.foreign import ForeignFile

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfPage

_FINEST_SCALE = 20.0
"""Most pixels per point, so that a page of a few points is not drawn with millions of pixels."""


class PageFile(ForeignFile):
    """The first page of a document."""

    shrinks_on_load = True

    def _open(self) -> None:
        with self._open_first_page() as page:
            self._points = page.get_size()
        width, height = self._points
        if not (math.isfinite(width) and math.isfinite(height)):
            raise ValueError("the size of its first page is not a number")
        self.keep("RGB", (max(1, round(width)), max(1, round(height))))
        self._scale = 1.0

    def draft(self, mode: str | None, size: tuple[int, int] | None) -> tuple[str, tuple[int, int, float, float]] | None:
        """Sets the scale at which the page is drawn: just large enough to cover `size`."""
        if size is None or mode not in (None, "RGB"):
            return None
        needed = max(wanted / points for wanted, points in zip(size, self.size, strict=True))
        self._scale = min(needed, _FINEST_SCALE)
        width, height = (max(1, math.ceil(side * self._scale)) for side in self._points)
        self.keep("RGB", (width, height))
        return "RGB", (0, 0, float(width), float(height))

    def decoded(self) -> Image.Image:
        """The page on white paper, with its annotations."""
        with self._open_first_page() as page:
            bitmap = page.render(scale=self._scale, rev_byteorder=True)
            picture: Image.Image = bitmap.to_pil()
            return picture.convert("RGB")

    @contextlib.contextmanager
    def _open_first_page(self) -> "Iterator[PdfPage]":
        with _open_document(self.fp) as document:
            page = document[0]
            yield page
            page.close()


@contextlib.contextmanager
def _open_document(stream: object) -> "Iterator[PdfDocument]":
    import pypdfium2

    document = pypdfium2.PdfDocument(stream, autoclose=False)
    try:
        if len(document) == 0:
            raise ValueError("the document has no pages")
        yield document
    finally:
        document.close()


def open_page(stream: BinaryIO) -> PageFile:
    """Reads the size of the first page.

    Raises:
        refusals.DECODER_COMPLAINTS: the document is not sound, or it needs a password.
    """
    return PageFile(stream, "")
