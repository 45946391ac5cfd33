"""Puts small pictures side by side on one sheet, for people to look at.

The caller chooses the pictures, and where the sheet goes.
"""

import io
from collections.abc import Sequence

from PIL import Image, ImageOps

from thumb_pipeline.imaging.formats.formats import HEAD_N_BYTES, identify
from thumb_pipeline.imaging.sources.decoders import open_header

_GAP_PX = 4
_GROUND = (24, 26, 30)


def contact_sheet(pictures: Sequence[bytes], *, columns: int, cell: tuple[int, int], quality: int = 80) -> bytes:
    """A JPEG with one picture a cell, row by row.

    Args:
        pictures: encoded variants, each known to decode (`inspect`); the order is kept.
        columns: cells in a row.
        cell: width and height of a cell in pixels; pictures are fitted into it.
        quality: of the JPEG.
    """
    rows = max(1, -(-len(pictures) // columns))
    used = min(columns, max(1, len(pictures)))
    width, height = (n * (side + _GAP_PX) + _GAP_PX for n, side in zip((used, rows), cell, strict=True))
    sheet = Image.new("RGB", (width, height), _GROUND)
    for number, data in enumerate(pictures):
        with open_header(io.BytesIO(data), identify(data[:HEAD_N_BYTES]) or "") as picture:
            fitted = ImageOps.contain(picture.convert("RGB"), cell)
        left = _GAP_PX + number % columns * (cell[0] + _GAP_PX) + (cell[0] - fitted.width) // 2
        top = _GAP_PX + number // columns * (cell[1] + _GAP_PX) + (cell[1] - fitted.height) // 2
        sheet.paste(fitted, (left, top))
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
