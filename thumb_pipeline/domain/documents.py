"""Checked types for the fields of our own JSON files: a file's content is checked before any of it is used.

A field of one of these types has the form that its name says, or the document cannot be read. The documents themselves
are in `stages`, the config of runs is in `defs`.
"""

from typing import Annotated

from pydantic import AfterValidator

from thumb_pipeline.domain.identifiers import is_run_id
from thumb_pipeline.domain.layout import parse_key, split_variant_path
from thumb_pipeline.domain.names import to_bytes
from thumb_pipeline.domain.paths import OutOfPlace, is_entry_name


def checked_key(key: str) -> str:
    """A timelapse's key, unchanged; raises ValueError for anything else."""
    parse_key(key)
    return key


def checked_name(text: str) -> str:
    """The text of a file's name, unchanged; raises ValueError for anything else."""
    if not is_entry_name(to_bytes(text)):
        raise OutOfPlace(f"{text[:80]!r} is not the name of a file")
    return text


def checked_variant_path(path: str) -> str:
    """A variant's path below its timelapse's folder, unchanged; raises ValueError for anything else."""
    to_bytes(split_variant_path(path)[1])
    return path


def _checked_run_id(text: str) -> str:
    if not is_run_id(text):
        raise ValueError(f"{text[:80]!r} is not the id of a run")
    return text


TimelapseKey = Annotated[str, AfterValidator(checked_key)]
FileName = Annotated[str, AfterValidator(checked_name)]
RunId = Annotated[str, AfterValidator(_checked_run_id)]
