"""The file that `init` writes: every key with its default and what it means, generated from the table classes."""

import json
import textwrap
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from thumb_pipeline.domain.policy import Mode
from thumb_pipeline.domain.settings.policy_tables import CameraTable, PolicyTable, RetentionTable, TimelapseTable
from thumb_pipeline.domain.settings.toml_file import Settings

_BEGINNING = """\
# thumbs.toml makes this folder a library of thumb_pipeline and says how its thumbnails are made.
# Sources are read from cameras/camera-{id}/timelapse-{id}/frames/ and never written, moved or deleted.
# Every line shows the default; a changed value holds from the next command on.
"""
_WIDTH = 119

_POLICY = PolicyTable(
    variants=tuple(Settings().variants),
    generate_thumbnails=True,
    small_generation_mode=Mode.ALL,
    purge_smalls_on_completion=False,
)
"""The policy of a file that sets none."""

_EXAMPLES: dict[str, type[BaseModel]] = {
    "policy.retention.small": RetentionTable,
    'cameras."camera-1"': CameraTable,
    'cameras."camera-1".policy': PolicyTable,
    'timelapses."camera-1/timelapse-2"': TimelapseTable,
}
"""Tables whose names the user chooses; the file shows one of each, as a comment."""


def default_settings() -> str:
    """The text of the file."""
    settings = Settings()
    top, tables = [], []
    for name, value in settings:
        if not isinstance(value, BaseModel | dict):
            top += ["", *_key(name, value, Settings.model_fields[name])]
        elif isinstance(value, BaseModel):
            table = _POLICY if isinstance(value, PolicyTable) else value
            tables += ["", f"[{name}]", *_keys(table)]
        elif name == "variants":
            tables += _variants(value)
    for name, model in _EXAMPLES.items():
        tables += ["", f"# [{name}]", *_example(model)]
    return _BEGINNING + "\n".join([*top, *tables]) + "\n"


def toml_value(value: Any) -> str:
    """A value as it is written in the file."""
    if isinstance(value, tuple) and value and all(isinstance(part, int) for part in value):
        return json.dumps("#" + bytes(value).hex())
    if isinstance(value, tuple):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    return json.dumps(value) if isinstance(value, str | int | float | bool | StrEnum) else str(value)


def _variants(variants: dict[str, Any]) -> Iterator[str]:
    """The default recipes; only the first explains its keys."""
    for number, (name, table) in enumerate(variants.items()):
        yield from ("", f"[variants.{name}]")
        yield from _keys(table, is_explained=not number)


def _keys(table: BaseModel, *, is_explained: bool = True) -> Iterator[str]:
    for name, value in table:
        if not isinstance(value, BaseModel | dict):
            yield from _key(name, value, type(table).model_fields[name], is_explained=is_explained)


def _key(name: str, value: Any, field: FieldInfo, *, is_explained: bool = True) -> Iterator[str]:
    if is_explained:
        yield from _comment(str(field.description))
    if value is not None:
        yield f"{name} = {toml_value(value)}"
    elif is_explained:
        yield f"# {name} = {_example_value(field)}"


def _example(model: type[BaseModel]) -> Iterator[str]:
    """One line a key."""
    for name, field in model.model_fields.items():
        if field.examples:
            yield f"# {name} = {_example_value(field)}  # {field.description}"


def _example_value(field: FieldInfo) -> str:
    [example] = field.examples or [None]
    return toml_value(example)


def _comment(text: str) -> list[str]:
    sentence = text[0].upper() + text[1:] + "."
    return textwrap.wrap(sentence, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
