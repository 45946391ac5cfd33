"""Sources that other libraries than Pillow decode, in the shape of Pillow's own opened files.

The steps of `render` treat them like any other. What they have in common is here; each library has a module of its own
(`heif`, `raw`, `document`, `video`), which imports it when the first such file comes.
"""

from typing import Any

from PIL import Image, ImageFile


class ForeignFile(ImageFile.ImageFile):
    """An opened source whose pixels come upright, from `decoded`, when they are loaded.

    Attributes:
        shrinks_on_load: after `draft`, `size` is what will be decoded, and no longer what the source has.
    """

    shrinks_on_load = False

    def decoded(self) -> Image.Image:
        """The pixels, in a mode that Pillow can convert to RGB."""
        raise NotImplementedError

    def load(self) -> Any:
        """Decodes the pixels once; what Pillow calls before it touches them."""
        if self._im is None:
            picture = self.decoded()
            picture.load()
            self._im, self._mode, self._size = picture.im, picture.mode, picture.size
        self.tile = []
        return super().load()

    def keep(self, mode: str, size: tuple[int, int]) -> None:
        """Notes what the header says; called by `_open`."""
        self._mode, self._size, self.tile = mode, size, []
