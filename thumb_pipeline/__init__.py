"""Keeps the thumbnails of timelapse camera archives complete, current, intact and provable.

Nothing is imported here: the rendering workers start from this package and must stay light.
"""

__version__ = "0.1.0"
