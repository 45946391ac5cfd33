"""Every test says in which tier it is, and whoever runs the tests learns how far they are."""

import ast

import pytest

from thumb_pipeline_tests.conftest import REPOSITORY, TIERS
from thumb_pipeline_tests.progress import said

pytestmark = pytest.mark.quick

MODULES = sorted((REPOSITORY / "thumb_pipeline_tests").rglob("test_*.py"))


def marks_of(module: ast.Module) -> set[str]:
    """The marks that all tests of a module bear."""
    values = [
        statement.value
        for statement in module.body
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "pytestmark"
    ]
    return {node.attr for value in values for node in ast.walk(value) if isinstance(node, ast.Attribute)}


def test_no_test_is_in_no_tier_and_none_in_two() -> None:
    tiers = {path: marks_of(ast.parse(path.read_text())) & set(TIERS) for path in MODULES}
    assert [str(path.relative_to(REPOSITORY)) for path, found in tiers.items() if len(found) != 1] == []


@pytest.mark.parametrize(
    ("source", "marks"),
    [
        ("import pytest\npytestmark = pytest.mark.quick", {"quick"}),
        ("pytestmark = [pytest.mark.daemon, pytest.mark.usefixtures('storage')]", {"daemon", "usefixtures"}),
        ("@pytest.mark.quick\ndef test_alone(): ...", set()),
    ],
)
def test_marks_of_a_module_are_those_that_all_its_tests_bear(source: str, marks: set[str]) -> None:
    assert marks_of(ast.parse(source)) - {"mark"} == marks


def test_progress_tells_what_is_left() -> None:
    assert said(200, 400, 90.0) == "200 of 400 tests in 1 min 30 s, about 1 min 30 s left"
    assert said(400, 400, 59.4) == "400 of 400 tests in 59 s, about 0 s left"
