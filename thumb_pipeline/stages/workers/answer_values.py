"""Checks single values in a worker's answer: functions that take a value of JSON and return it, or raise `NoAnswer`.

They know nothing of whole answers; `answers` says which field may hold what.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from thumb_pipeline.domain.plain_text import plain

T = TypeVar("T")
Check = Callable[[Any], Any]
"""Takes a value of JSON and returns the value to keep; raises `NoAnswer` for a value that is not expected."""


class NoAnswer(ValueError):
    """The worker's output is not an answer to its task."""


def fields_of(kind: type[T], checks: Mapping[str, Check]) -> Callable[[Any], T]:
    """Reads an object with exactly these fields as a `kind`."""

    def read(fields: Any) -> T:
        if type(fields) is not dict or fields.keys() != checks.keys():
            raise NoAnswer(f"the fields are not those of {kind.__name__}")
        return kind(**{name: check(fields[name]) for name, check in checks.items()})

    return read


def each(check: Check) -> Check:
    """Reads a list of any length."""

    def read(value: Any) -> list[Any]:
        if type(value) is not list:
            raise NoAnswer("a value is not a list")
        return [check(item) for item in value]

    return read


def exactly(n: int, check: Check) -> Check:
    """Reads a list of `n` values."""

    def read(value: Any) -> list[Any]:
        if type(value) is not list or len(value) != n:
            raise NoAnswer(f"a value is not a list of {n}")
        return [check(item) for item in value]

    return read


def or_nothing(check: Check) -> Check:
    """Reads a value that may be null."""
    return lambda value: None if value is None else check(value)


def nothing(value: Any) -> None:
    """Reads a value that must be null."""
    if value is not None:
        raise NoAnswer("a value is set that must be null")


def integer(least: int, most: int) -> Check:
    """Reads an integer between two bounds, both included; true and false do not count as integers."""

    def read(value: Any) -> int:
        if type(value) is not int or not least <= value <= most:
            raise NoAnswer("a number is not an integer in its range")
        return value

    return read


def milliseconds(value: Any) -> float:
    """Reads a duration; NaN is refused, because no comparison with it holds."""
    if type(value) not in (int, float) or not 0 <= value <= 1e12:
        raise NoAnswer("a duration is out of range")
    return float(value)


def boolean(value: Any) -> bool:
    """Reads true or false."""
    if type(value) is not bool:
        raise NoAnswer("a value is neither true nor false")
    return value


def words(value: Any) -> str:
    """Reads text for people, and removes what must not be shown to them (`domain.plain_text`)."""
    if type(value) is not str:
        raise NoAnswer("a message is not text")
    return plain(value)


def one_of(*words: str) -> Check:
    """Reads a word of a closed list."""

    def read(value: Any) -> str:
        if type(value) is not str or value not in words:
            raise NoAnswer("a word is not one of its list")
        return value

    return read


def text(is_sound: Callable[[str], object]) -> Check:
    """Reads a text for which `is_sound` holds."""

    def read(value: Any) -> str:
        if type(value) is not str or not is_sound(value):
            raise NoAnswer("a text has the wrong form")
        return value

    return read
