"""The pinned requirements: complete, hashed, without any address, and what is really installed."""

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.quick

REPOSITORY = Path(__file__).parents[2]
PINS = REPOSITORY / "deploy" / "requirements"
FILES = ("bootstrap.txt", "runtime.txt", "development.txt", "benchmarks.txt")


def blocks(file: str) -> Iterator[str]:
    """Each requirement with its hashes, as one line."""
    text = (PINS / file).read_text(encoding="utf-8").replace("\\\n", " ")
    yield from (line for line in text.splitlines() if line.strip())


def requirements(file: str) -> list[Requirement]:
    return [Requirement(block.partition(" --hash=")[0].strip()) for block in blocks(file)]


def pinned_version(requirement: Requirement) -> str:
    return next(iter(requirement.specifier)).version


def applies_here(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate()


@pytest.mark.parametrize("file", FILES)
def test_every_requirement_is_pinned_to_one_version_and_hashed(file: str) -> None:
    shape = re.compile(r"[a-z0-9.-]+==[A-Za-z0-9.+!]+( ; [^#]+?)?(\s+--hash=sha256:[0-9a-f]{64})+")
    assert [block for block in blocks(file) if not shape.fullmatch(block)] == []


def test_no_requirement_file_names_an_address() -> None:
    forbidden = re.compile(r"://|--(extra-)?index|--find-links|^-[if]\b", re.MULTILINE)
    assert [file.name for file in sorted(PINS.iterdir()) if forbidden.search(file.read_text(encoding="utf-8"))] == []


def test_only_these_files_and_their_explanation_lie_there() -> None:
    assert {file.name for file in PINS.iterdir()} == {*FILES, "README.md"}


def test_the_installed_runtime_is_the_pinned_one() -> None:
    wanted = {pin.name: pinned_version(pin) for pin in requirements("runtime.txt") if applies_here(pin)}
    assert {name: version(name) for name in wanted} == wanted


def test_a_package_that_two_files_pin_has_one_version() -> None:
    runtime = {(pin.name, str(pin.marker)): pinned_version(pin) for pin in requirements("runtime.txt")}
    others = [pin for file in ("bootstrap.txt", "development.txt", "benchmarks.txt") for pin in requirements(file)]
    found = [(pin, runtime.get((pin.name, str(pin.marker)))) for pin in others]
    assert [str(pin) for pin, pinned in found if pinned not in (None, pinned_version(pin))] == []


@pytest.mark.parametrize("file", FILES)
def test_the_pins_lie_in_the_ranges_of_the_project(file: str) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    ranges = {
        "runtime.txt": project["project"]["dependencies"],
        "bootstrap.txt": project["dependency-groups"]["bootstrap"],
        "development.txt": project["dependency-groups"]["dev"],
        "benchmarks.txt": project["dependency-groups"]["benchmarks"],
    }[file]
    pins = {canonicalize_name(pin.name): pinned_version(pin) for pin in requirements(file)}
    wanted = [Requirement(text) for text in ranges]
    assert [str(one) for one in wanted if not one.specifier.contains(pins.get(canonicalize_name(one.name), ""))] == []
