"""Writes the files of the repository that are made from others, so that what they share is written once.

.venv/bin/python -m thumb_pipeline_tests.project.written
"""

import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from thumb_pipeline.cli.dagster.instance import instance_settings
from thumb_pipeline.domain.settings.policy_tables import CameraTable, RetentionTable, TimelapseTable
from thumb_pipeline.domain.settings.toml_file import Settings
from thumb_pipeline.domain.settings.variant_tables import VariantTable
from thumb_pipeline.domain.settings.written import toml_value
from thumb_pipeline_tests.conftest import REPOSITORY

_FIRST_SETTING = "telemetry:"

INSTANCE_FILES = ("dagster.yaml", "deploy/postgres/dagster.yaml")
"""Their beginnings say where records are kept; the rest is that of every library's instance."""

SETTINGS_PAGE = "docs/settings.md"
NOTHING = "\N{EN DASH}"


def instance_file(name: str) -> str:
    """What one of the instance files is to be."""
    beginning, _, _ = (REPOSITORY / name).read_text(encoding="utf-8").partition(_FIRST_SETTING)
    _, first, settings = instance_settings().partition(_FIRST_SETTING)
    return beginning + first + settings


def settings_page() -> str:
    """What the page of the settings is to be: its own words around a table of every key."""
    page = (REPOSITORY / SETTINGS_PAGE).read_text(encoding="utf-8")
    rows = "".join(f"| `{key}` | {default} | {meaning} |\n" for key, default, meaning in settings_keys())
    return re.sub(r"(?<=\|---\|---\|---\|\n)(?:\|.*\n)*", lambda _: rows, page, count=1)


def settings_keys() -> Iterator[tuple[str, str, str]]:
    """Every key of thumbs.toml with its defaults and what it means; names of tables stand for all of them."""
    yield from _keys(Settings(), "")
    variants = Settings().variants.values()
    for name, field in VariantTable.model_fields.items():
        values = list(dict.fromkeys(getattr(variant, name) for variant in variants))
        yield f"variants.NAME.{name}", _defaults(*values), _meaning(field)
    for name, field in RetentionTable.model_fields.items():
        yield f"policy.retention.NAME.{name}", NOTHING, _meaning(field)
    yield from _keys(CameraTable(), "cameras.CAMERA.", leaves_out="policy")
    yield from _keys(TimelapseTable(), "timelapses.KEY.", leaves_out="policy")


def _keys(table: BaseModel, prefix: str, leaves_out: str = "") -> Iterator[tuple[str, str, str]]:
    for name, value in table:
        field = type(table).model_fields[name]
        if name == leaves_out:
            yield f"{prefix}{name}", NOTHING, _meaning(field)
        elif isinstance(value, BaseModel):
            yield from _keys(value, f"{prefix}{name}.")
        elif not isinstance(value, dict):
            yield f"{prefix}{name}", _defaults(value), _meaning(field)


def _defaults(*values: Any) -> str:
    return ", ".join(f"`{toml_value(value)}`" for value in values if value is not None) or NOTHING


def _meaning(field: FieldInfo) -> str:
    return str(field.description)


def main() -> None:
    """Writes them."""
    for name in INSTANCE_FILES:
        (REPOSITORY / name).write_text(instance_file(name), encoding="utf-8")
    (REPOSITORY / SETTINGS_PAGE).write_text(settings_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
