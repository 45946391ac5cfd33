"""Value types that several tables share: colours, dates, time zones; and the base class of all tables."""

import re
from datetime import date
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict


class Table(BaseModel):
    """A table of the file; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


def _color(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", value):
        return tuple(bytes.fromhex(value[1:]))
    raise ValueError('write a colour as "#rrggbb"')


Color = Annotated[tuple[int, int, int], BeforeValidator(_color)]


def _start_date(value: object) -> object:
    if type(value) is date:
        return value
    raise ValueError("write a date without quotes and without a time, such as 2025-04-22")


StartDate = Annotated[date, BeforeValidator(_start_date)]


def _timezone(value: object) -> object:
    try:
        ZoneInfo(str(value))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError('use a name of the IANA time zone database, such as "Europe/Berlin"') from None
    return value


Timezone = Annotated[str, BeforeValidator(_timezone)]
