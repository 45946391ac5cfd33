"""Recognises camera RAW files among the files that are TIFF by their first bytes.

Pillow would open them and silently return the tiny picture embedded in front. They are recognised by their sensor data,
by the tags of DNG, or by a tag that says that the picture in front is a reduced version of another one. RAW formats
with a signature of their own are in `formats`; decoding lives in `raw`.
"""

from typing import BinaryIO

from thumb_pipeline.imaging.formats.tiff_tags import TagReader, integer

_SUBFILE_TYPE = 0x00FE
_REDUCED_VERSION = 1
_PHOTOMETRIC = 0x0106
_SUB_DIRECTORIES = 0x014A
_DNG_VERSION = 0xC612
_SENSOR_DATA = (32803, 34892)  # colour filter array, linear raw
_COMPRESSION = 0x0103
_CAMERA_COMPRESSIONS = (34713, 32767, 65535, 32770)  # Nikon, Sony, Pentax, Samsung


def is_camera_raw(stream: BinaryIO) -> bool:
    """Whether a file with the signature of TIFF holds sensor data rather than a picture."""
    reader = TagReader(stream)
    wanted = (_SUBFILE_TYPE, _PHOTOMETRIC, _COMPRESSION, _SUB_DIRECTORIES, _DNG_VERSION)
    first = reader.first(wanted)
    if _DNG_VERSION in first or (integer(first, _SUBFILE_TYPE) or 0) & _REDUCED_VERSION:
        return True
    offsets = first.get(_SUB_DIRECTORIES)
    directories = [
        first,
        *(reader.at(offset, wanted) for offset in (offsets if isinstance(offsets, tuple) else ())[:8]),
    ]
    return any(
        integer(tags, _PHOTOMETRIC) in _SENSOR_DATA or integer(tags, _COMPRESSION) in _CAMERA_COMPRESSIONS
        for tags in directories
    )
