"""Opens camera RAW files with LibRaw: the embedded preview where it is large enough, otherwise the sensor data.

The preview is what the photographer saw, and costs a hundredth of the time. It is used only if it shows the same
section: a camera set to a square stores a square preview beside the data of the whole sensor. `formats` and `raw_signs`
recognise RAW files.
"""

import contextlib
import io
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, cast

from PIL import Image

from thumb_pipeline.domain.failures import FailureReason
from thumb_pipeline.domain.geometry import Size
from thumb_pipeline.imaging.refusals import Refused
from thumb_pipeline.imaging.sources.exif import read_exif
from thumb_pipeline.imaging.sources.foreign import ForeignFile

if TYPE_CHECKING:
    from rawpy import RawPy

_TURNS = {3: Image.Transpose.ROTATE_180, 5: Image.Transpose.ROTATE_90, 6: Image.Transpose.ROTATE_270}
"""LibRaw's `flip` says how to turn the stored picture (5 is counterclockwise)."""

_EXIF_TURNS = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_270, 8: Image.Transpose.ROTATE_90}
_QUARTER_TURNS = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270)

_SAME_SECTION = 0.02
"""How far the aspect ratios of preview and sensor may differ: cameras cut a few columns off the border of one."""


class RawFile(ForeignFile):
    """A RAW file; before `draft`, `size` is the size of the upright picture from its sensor data."""

    shrinks_on_load = True

    def _open(self) -> None:
        self._preview: Image.Image | None = None
        self._is_preview_enough = self._is_half = False
        with _translate_errors():
            self._raw = _rawpy_open(cast("BinaryIO", self.fp))
            sizes = self._raw.sizes
        self._turn = _TURNS.get(sizes.flip)
        self.keep("RGB", _turned((sizes.iwidth, sizes.iheight), self._turn))

    def draft(self, mode: str | None, size: Size | None) -> tuple[str, tuple[int, int, float, float]] | None:
        """Chooses the cheapest decoding that still covers `size`: preview, half size or full size."""
        if size is None or mode not in (None, "RGB"):
            return None
        self._preview = self._extract_preview()
        half = (self.size[0] // 2, self.size[1] // 2)
        if self._preview is not None and self._stands_for_all(self._preview) and _covers(self._preview.size, size):
            self._is_preview_enough = True
            self.keep("RGB", self._preview.size)
        elif _covers(half, size):
            self._is_half = True
            self.keep("RGB", half)
        return "RGB", (0, 0, float(self.size[0]), float(self.size[1]))

    def decoded(self) -> Image.Image:
        """The upright pixels; sensor data are developed with the camera's white balance, in sRGB."""
        if self._preview is not None and self._is_preview_enough:
            return self._preview
        with _translate_errors():
            if _passes_its_white(self._raw):
                return self._fall_back_to_preview()
            pixels = self._raw.postprocess(half_size=self._is_half, use_camera_wb=True, output_bps=8)
            self._raw.close()
        return Image.fromarray(pixels)

    def _stands_for_all(self, preview: Image.Image) -> bool:
        across = self.size[0] * preview.size[1]
        return abs(across - self.size[1] * preview.size[0]) <= _SAME_SECTION * across

    def _fall_back_to_preview(self) -> Image.Image:
        """The preview, however small; the source then counts as that small, so that nothing is enlarged."""
        if self._preview is None:
            raise Refused(FailureReason.UNSUPPORTED, "its samples are brighter than what LibRaw takes for white")
        self.shrinks_on_load = False
        return self._preview

    def _extract_preview(self) -> Image.Image | None:
        """The largest embedded picture, upright; None if there is none, or it does not decode."""
        import rawpy

        try:
            thumbnail = self._raw.extract_thumb()
        except rawpy.LibRawError:
            return None
        if not isinstance(thumbnail.data, bytes):
            return _upright(Image.fromarray(thumbnail.data), self._turn, self.size)
        try:
            picture = _jpeg(thumbnail.data)
        except (OSError, SyntaxError, ValueError):
            return None  # the preview is broken; the sensor data may be sound
        own_turn = _EXIF_TURNS.get(read_exif(picture, io.BytesIO(thumbnail.data)).orientation)
        return _upright(picture, own_turn or self._turn, self.size)


def open_raw(stream: BinaryIO) -> RawFile:
    """Reads the header of a RAW file.

    Raises:
        Refused: LibRaw does not know the camera, or the file is not sound.
    """
    return RawFile(stream, "")


def _rawpy_open(stream: BinaryIO) -> "RawPy":
    # numpy's linear algebra would start a thread for each processor, and is never used.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    import rawpy

    return rawpy.imread(stream)


def _passes_its_white(raw: "RawPy") -> bool:
    """Whether samples are brighter than LibRaw's white, as in NEF files of film scanners: all would become white.

    Only files whose pixels have all colours already are tested: for a sensor's mosaic LibRaw knows the range from the
    camera. The test unpacks the samples, as developing does; after that LibRaw 0.22 crashes on extracting the preview.
    """
    import rawpy

    return raw.raw_type is rawpy.RawType.Stack and int(raw.raw_image.max()) > raw.white_level


def _jpeg(data: bytes) -> Image.Image:
    from PIL import JpegImagePlugin

    picture = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    picture.load()
    return picture


def _upright(picture: Image.Image, turn: Image.Transpose | None, upright: Size) -> Image.Image:
    """The upright preview; some cameras store it upright already, although the sensor data are not."""
    is_upright_already = turn in _QUARTER_TURNS and (picture.width > picture.height) == (upright[0] > upright[1])
    turned = picture if turn is None or is_upright_already else picture.transpose(turn)
    return turned if turned.mode == "RGB" else turned.convert("RGB")


def _turned(size: Size, turn: Image.Transpose | None) -> Size:
    return (size[1], size[0]) if turn in _QUARTER_TURNS else size


def _covers(outer: Size, inner: Size) -> bool:
    return outer[0] >= inner[0] and outer[1] >= inner[1]


@contextlib.contextmanager
def _translate_errors() -> Iterator[None]:
    """Turns LibRaw's errors into refusals."""
    import rawpy

    try:
        yield
    except rawpy.LibRawError as error:
        message = error.args[0] if error.args else ""
        words = message.decode("utf-8", "replace") if isinstance(message, bytes) else str(message)
        raise Refused(_reason(error), f"LibRaw: {words}") from error


def _reason(error: Exception) -> FailureReason:
    import rawpy

    if isinstance(error, (rawpy.LibRawFileUnsupportedError, rawpy.LibRawNotImplementedError)):
        return FailureReason.UNSUPPORTED
    if isinstance(error, (rawpy.LibRawUnsufficientMemoryError, rawpy.LibRawMemPoolOverflowError)):
        return FailureReason.OUT_OF_MEMORY
    if isinstance(error, rawpy.LibRawTooBigError):
        return FailureReason.TOO_LARGE
    # LibRaw reads from memory, so a read error means that the file ends too early.
    return FailureReason.TRUNCATED if isinstance(error, rawpy.LibRawIOError) else FailureReason.DAMAGED
