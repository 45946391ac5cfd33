"""Reads the text of a `thumbs.toml` as tables; what the tables may say is in `domain.settings`."""

import tomllib
from collections.abc import Collection
from typing import Any

_MOST_LEVELS = 20
_TOO_LARGE = "it has a number of more than 64 bits"
_TOO_DEEP = f"it nests tables or lists more than {_MOST_LEVELS} deep"


def read_toml(written: bytes) -> dict[str, Any]:
    """The tables in the text of the settings.

    Raises:
        ValueError: the text is not TOML, or it has numbers of more than 64 bits or tables nested too deep, which
            readers of TOML need not accept.
    """
    try:
        tables = tomllib.loads(written.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise
    except ValueError as error:  # Python refuses decimal numbers of more than 4,300 digits
        raise ValueError(_TOO_LARGE) from error
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    level: list[object] = [tables]
    for _ in range(_MOST_LEVELS):
        level = [inner for outer in level for inner in _values_in(outer)]
        if any(isinstance(value, int) and not -(2**63) <= value < 2**63 for value in level):
            raise ValueError(_TOO_LARGE)
    if level:
        raise ValueError(_TOO_DEEP)
    return tables


def _values_in(value: object) -> Collection[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
