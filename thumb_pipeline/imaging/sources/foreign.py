"""The base class of sources that are decoded by another library than Pillow, with the interface of Pillow's own files.

The steps of `render` treat them like any other source. Each library has a module of its own (`raw`, `document`,
`video`), which imports the library with the first such file; pi-heif (`heif`) brings a Pillow plugin instead.
"""

from typing import Any

from PIL import Image, ImageFile


class ForeignFile(ImageFile.ImageFile):
    """An opened source; `decoded` gives its pixels, upright, when they are loaded.

    Attributes:
        shrinks_on_load: whether `draft` sets `size` to the size that will be decoded, instead of the source's own.
    """

    shrinks_on_load = False

    def decoded(self) -> Image.Image:
        """The pixels, in a mode that Pillow can convert to RGB."""
        raise NotImplementedError

    def load(self) -> Any:
        """Decodes the pixels once; Pillow calls it before it uses them."""
        if self._im is None:
            picture = self.decoded()
            picture.load()
            self._im, self._mode, self._size = picture.im, picture.mode, picture.size
        self.tile = []
        return super().load()

    def keep(self, mode: str, size: tuple[int, int]) -> None:
        """Sets mode and size, as the header or `draft` has them."""
        self._mode, self._size, self.tile = mode, size, []
