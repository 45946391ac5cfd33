"""Turns a parsed `thumbs.toml` into settings, and every fault in it into a sentence."""

import difflib
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from thumb_pipeline.domain.settings import agreement
from thumb_pipeline.domain.settings.toml_file import Settings


class SettingsError(ValueError):
    """Settings that cannot be used; the message has one line per fault: key, value and remedy."""


def parse_settings(written: Mapping[str, Any]) -> Settings:
    """Checked settings from a parsed `thumbs.toml`.

    Raises:
        SettingsError: with one line per fault, each naming key, value and remedy.
    """
    try:
        settings = Settings.model_validate(written)
    except ValidationError as error:
        raise SettingsError("\n".join(_line(fault) for fault in error.errors())) from None
    if faults := list(agreement.faults(settings)):
        raise SettingsError("\n".join(faults))
    return settings


def _line(fault: Any) -> str:
    place, kind, value = fault["loc"], fault["type"], fault["input"]
    key = ".".join(f'"{part}"' if "/" in str(part) else str(part) for part in place)
    if kind == "value_error" and isinstance(value, dict):
        return f"{key}: {fault['ctx']['error']}"
    if kind == "extra_forbidden":
        return f"{key} = {_shown(value)}: unknown key; {_advice_on_key(place)}"
    if kind == "missing":
        return f"{key}: is missing; add it"
    reason = str(fault["ctx"]["error"]) if kind == "value_error" else _plain_message(fault)
    return f"{key} = {_shown(value)}: {reason}"


def _plain_message(fault: Any) -> str:
    message = str(fault["msg"])
    return message[0].lower() + message[1:] + "; correct the value"


def _shown(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _advice_on_key(place: tuple[str | int, ...]) -> str:
    known = _known_keys(Settings, place[:-1])
    written = str(place[-1])
    begun = [name for name in known if name.startswith(written)]
    close = begun or difflib.get_close_matches(written, known, n=1)
    return f"did you mean {close[0]}?" if close else f"remove it, or use one of: {', '.join(known)}"


def _known_keys(table: type[BaseModel], place: tuple[str | int, ...]) -> list[str]:
    if not place:
        return list(table.model_fields)
    annotation = table.model_fields[str(place[0])].annotation
    nested = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
    inner = next(kind for kind in nested if issubclass(kind, BaseModel))
    return _known_keys(inner, place[1:] if inner is annotation else place[2:])
