"""Opens HEIC and HEIF pictures with pi-heif, which holds a decoder only.

libheif applies the file's own rotation and mirroring (`irot`, `imir`), so the orientation in its EXIF is ignored: both
say the same, and applied twice they would turn the picture wrong.
"""

from typing import BinaryIO

from PIL import ImageFile


def open_heif(stream: BinaryIO) -> ImageFile.ImageFile:
    """Reads the header of the primary picture; `size` is the size of the upright picture.

    Raises:
        refusals.DECODER_COMPLAINTS: the file is not sound.
    """
    import pi_heif

    pi_heif.options.DECODE_THREADS = 1  # several workers share the processors already
    pi_heif.options.THUMBNAILS = pi_heif.options.DEPTH_IMAGES = pi_heif.options.AUX_IMAGES = False
    opened: ImageFile.ImageFile = pi_heif.HeifImageFile(stream, "")
    return opened
