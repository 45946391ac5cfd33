"""The shape of the code: who may import whom, what may lie where. Read from the source, nothing is imported."""

import ast
import fnmatch
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.quick

REPOSITORY = Path(__file__).parents[2]
PACKAGE = "thumb_pipeline"

ADAPTERS = ("imaging", "storage", "datasets", "analytics")
MAY_IMPORT = {
    "domain": (),
    **dict.fromkeys(ADAPTERS, ("domain",)),
    "stages": (*ADAPTERS, "domain"),
    "defs": ("stages", *ADAPTERS, "domain"),
    "definitions": ("defs", "stages", *ADAPTERS, "domain"),
    "cli": ("stages", "domain"),
    "web": ("stages", "domain"),
}
"""Which layers each one may use besides itself: downwards only, never sideways between the adapters."""

TURNS_DAGSTER_DOWN = "thumb_pipeline_tests.quick_daemon.sitecustomize"
"""Dagster has no settings for how long its daemon waits."""

ROOMS = {
    "stages": (
        ("library",),
        ("workers", "demo"),
        ("inventory",),
        ("examining",),
        ("planning",),
        ("rendering", "verification"),
        ("captures", "removal"),
        ("repair",),
    ),
    "defs": (
        ("runs", "shown", "settings_trouble"),
        ("run_config", "resources", "partitions", "verification"),
        ("config", "checks", "batches", "schedules"),
        ("jobs",),
        ("assets", "sensors"),
    ),
    "cli": (("console",), ("selection", "dagster"), ("commands",), ("app",)),
    "imaging": (
        ("formats", "chain", "results", "simd", "demo"),
        ("refusals",),
        ("sources",),
        ("variants",),
        ("steps",),
        ("render",),
    ),
}
"""The rooms of a layer, floor by floor: each may use itself and what is on a lower floor, and no neighbour."""

STARTS_RUNS = (f"{PACKAGE}.cli.dagster", f"{PACKAGE}.web.dagster")
"""The only rooms outside `defs` and `definitions` that know Dagster, and may use `definitions` and `defs.runs`."""

SERVES_PAGE = f"{PACKAGE}.cli.dagster.page"
"""The only module that knows Dagster's web server, of which it runs the command."""

ONLY_IN = {
    "PIL": (f"{PACKAGE}.imaging",),
    "av": (f"{PACKAGE}.imaging",),
    "pypdfium2": (f"{PACKAGE}.imaging",),
    "obstore": (f"{PACKAGE}.storage",),
    "dagster": (f"{PACKAGE}.defs", f"{PACKAGE}.definitions", *STARTS_RUNS),
    "dagster_webserver": (SERVES_PAGE,),
}
"""Where a library may be used; other packages whose names start with `dagster_` count as Dagster."""

JOINS_PATHS = "domain/paths.py"
"""Where paths are joined of their parts: everything else asks there, so that no part leads out of its folder."""

REMOVES = ("storage/", "datasets/slices.py", "cli/dagster/half_made.py")
"""Where a file may be removed or renamed: by descriptor or by a checked name, in tables, Dagster's half-made index."""

_PATH_JOINS = {"join", "joinpath"}
_REMOVALS = {"unlink", "rmdir", "removedirs", "rmtree", "move"}
_OF_OS = {"remove", "rename", "renames", "replace", "link", "symlink"}

MEANINGLESS = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"}
MAX_LINES = 450

REQUIRED = {
    "pyproject.toml",
    "thumb_pipeline",
    "thumb_pipeline_tests",
    "workspace.yaml",
    "dagster.yaml",
    "README.md",
}
ALLOWED = REQUIRED | {
    ".ci",
    ".git",
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "benchmarks",
    "deploy",
    "docs",
    "run.py",
}


def modules(root: Path) -> Iterator[tuple[str, Path]]:
    """Dotted name and file of every module of the package and its tests."""
    for top in (PACKAGE, f"{PACKAGE}_tests"):
        for file in sorted((root / top).rglob("*.py")):
            parts = file.relative_to(root).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), file


def imports(file: Path, known: set[str]) -> Iterator[str]:
    """Every module a file imports, wherever in it; `from x import y` is `x.y` where that is a module of ours."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield "." * node.level + (node.module or "")
                continue
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in known else str(node.module)


def is_within(module: str, place: str) -> bool:
    return module == place or module.startswith(place + ".")


def layer_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def layer_complaint(module: str, imported: str) -> str | None:
    """What is wrong with one module of the package importing another one of it."""
    layer, other = layer_of(module), layer_of(imported)
    if other in ("", layer) or other in MAY_IMPORT.get(layer, ()):
        return None
    asks_dagster = other == "definitions" or is_within(imported, f"{PACKAGE}.defs.runs")
    if asks_dagster and any(is_within(module, room) for room in STARTS_RUNS):
        return None
    return f"{module} imports {imported}: {layer or PACKAGE} may not use {other}"


def room_of(module: str) -> str:
    return module.split(".")[2] if module.count(".") >= 2 else ""


def room_complaint(module: str, imported: str) -> str | None:
    """What is wrong with one room of a layer using another one of it."""
    layer, room, other = layer_of(module), room_of(module), room_of(imported)
    floors = {one: number for number, floor in enumerate(ROOMS.get(layer, ())) for one in floor}
    if not floors or layer_of(imported) != layer or "" in (room, other) or other == room:
        return None
    if room not in floors or other not in floors or floors[other] >= floors[room]:
        return f"{module} imports {imported}: {room} may not use {other}"
    return None


def library_complaint(module: str, imported: str) -> str | None:
    """What is wrong with one module of the package importing a library."""
    if module == TURNS_DAGSTER_DOWN and is_within(imported, "dagster"):
        return None
    if is_within(imported, "dagster._core"):
        return f"{module} imports {imported}: private to Dagster"
    library = imported.split(".", maxsplit=1)[0]
    is_other_of_dagster = library.startswith("dagster_") and library not in ONLY_IN
    places = ONLY_IN.get("dagster" if is_other_of_dagster else library)
    if places is None or any(is_within(module, place) for place in places):
        return None
    return f"{module} imports {imported}: only {', '.join(places)} may"


def complaints_about_imports(root: Path) -> list[str]:
    found = list(modules(root))
    known = {module for module, _ in found}
    complaints: list[str | None] = []
    for module, file in found:
        for imported in imports(file, known):
            if imported.startswith("."):
                complaints.append(f"{module} imports {imported}: write the import out from {PACKAGE}")
            elif not is_within(module, PACKAGE):
                private = is_within(imported, "dagster._core")
                complaints.append(library_complaint(module, imported) if private else None)
            elif is_within(imported, PACKAGE):
                complaints.append(layer_complaint(module, imported) or room_complaint(module, imported))
            else:
                complaints.append(library_complaint(module, imported))
    return [complaint for complaint in complaints if complaint]


def called(node: ast.AST) -> tuple[str, str]:
    """What a call is made on and its name: ("os.path", "join"); ("", "") for anything else."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return ast.unparse(node.func.value), node.func.attr
    return "", ""


def is_path_join(node: ast.AST) -> bool:
    on, name = called(node)
    return name in _PATH_JOINS and (on.endswith("path") or name == "joinpath")


def is_removal(node: ast.AST) -> bool:
    on, name = called(node)
    return (on == "os" and name in _OF_OS | _REMOVALS) or on == "shutil" or (name in _REMOVALS and on != "moving")


def complaints_about_paths(root: Path) -> list[str]:
    """Paths that are joined, and files that are removed, where nobody has checked what they are made of."""
    complaints = []
    top = root / PACKAGE
    for file in sorted(top.rglob("*.py")):
        place = file.relative_to(top).as_posix()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if is_path_join(node) and not place.startswith(JOINS_PATHS):
                complaints.append(f"{place}:{node.lineno} joins a path: use domain.paths.inside")  # type: ignore[attr-defined]
            if is_removal(node) and not place.startswith(REMOVES):
                complaints.append(f"{place}:{node.lineno} removes or renames: use storage.removing")  # type: ignore[attr-defined]
    return complaints


def complaints_about_layers(root: Path) -> list[str]:
    layers = {layer_of(module) for module, _ in modules(root) if is_within(module, PACKAGE)} - {""}
    return [f"{layer} is no layer of the design" for layer in sorted(layers - set(MAY_IMPORT))]


def complaints_about_modules(root: Path) -> list[str]:
    complaints = []
    for module, file in modules(root):
        if MEANINGLESS & set(module.split(".")):
            complaints.append(f"{module} says nothing about what belongs there")
        n_lines = len(file.read_text(encoding="utf-8").splitlines())
        if n_lines > MAX_LINES:
            complaints.append(f"{module} has {n_lines} lines: split it")
    return complaints


def complaints_about_top_level(root: Path) -> list[str]:
    ignored = [line.strip("/") for line in (root / ".gitignore").read_text().split() if not line.startswith("#")]
    present = {entry.name for entry in root.iterdir()}
    strange = {name for name in present - ALLOWED if not any(fnmatch.fnmatch(name, pattern) for pattern in ignored)}
    return [
        *(f"{name} does not belong at the top level" for name in sorted(strange)),
        *(f"{name} is missing at the top level" for name in sorted(REQUIRED - present)),
    ]


def test_imports_point_downwards_and_libraries_stay_in_their_layer() -> None:
    found = complaints_about_imports(REPOSITORY)
    assert not found, "\n".join(found)


def test_paths_are_joined_and_files_removed_in_one_place_only() -> None:
    found = complaints_about_paths(REPOSITORY)
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "line",
    [
        *("os.path.join(folder, name)", "path.join(folder, name)", "Path(folder).joinpath(name)"),
        *(
            "shutil.rmtree(folder)",
            "os.unlink(path)",
            "Path(path).unlink()",
            "os.rename(path, other)",
            "os.rmdir(path)",
        ),
    ],
)
def test_a_path_that_is_joined_or_a_file_removed_elsewhere_is_found(tmp_path: Path, line: str) -> None:
    root = written(tmp_path, {"thumb_pipeline/stages/planning/plan.py": f"def late():\n    {line}\n"})
    assert len(complaints_about_paths(root)) == 1


@pytest.mark.parametrize(
    "line", ["', '.join(names)", "inside(folder, name)", "replace(order, id=1)", "names.remove(x)"]
)
def test_what_only_looks_like_it_is_not(tmp_path: Path, line: str) -> None:
    root = written(tmp_path, {"thumb_pipeline/stages/planning/plan.py": f"def late():\n    {line}\n"})
    assert complaints_about_paths(root) == []


def test_every_module_lies_in_a_layer_of_the_design() -> None:
    found = complaints_about_layers(REPOSITORY)
    assert not found, "\n".join(found)


def test_modules_are_small_and_named_for_what_they_hold() -> None:
    found = complaints_about_modules(REPOSITORY)
    assert not found, "\n".join(found)


def test_the_top_level_holds_what_it_should_and_nothing_else() -> None:
    found = complaints_about_top_level(REPOSITORY)
    assert not found, "\n".join(found)


def written(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("domain/sources.py", "from thumb_pipeline.storage import folders"),
        ("imaging/render.py", "import thumb_pipeline.storage.folders"),
        ("datasets/slices.py", "from thumb_pipeline import analytics"),
        ("stages/plan.py", "from thumb_pipeline.defs import assets"),
        ("stages/plan.py", "def late():\n    import dagster as dg"),
        ("stages/plan.py", "from dagster_postgres import storage"),
        ("stages/plan.py", "from PIL import Image"),
        ("defs/assets.py", "from thumb_pipeline.definitions import defs"),
        ("defs/assets.py", "from dagster._core.instance import DagsterInstance"),
        ("defs/assets.py", "import dagster._core"),
        ("cli/commands/plan.py", "from thumb_pipeline.definitions import defs"),
        ("cli/commands/plan.py", "from thumb_pipeline.defs.runs import lanes"),
        ("cli/dagster/runs.py", "from thumb_pipeline.defs.jobs import generate"),
        ("cli/commands/plan.py", "import dagster"),
        ("cli/dagster/runs.py", "from thumb_pipeline.imaging import render"),
        ("cli/dagster/runs.py", "import dagster_webserver"),
        ("cli/dagster/guard.py", "from dagster_webserver import cli"),
        ("web/page.py", "from thumb_pipeline.cli import runs"),
        ("stages/inventory/listing.py", "from thumb_pipeline.stages.planning import plan"),
        ("stages/removal/sweep.py", "from thumb_pipeline.stages.captures.watch import Watch"),
        ("stages/attic/plan.py", "from thumb_pipeline.stages.library import library"),
        ("stages/plan.py", "from . import inventory"),
        ("__init__.py", "import thumb_pipeline.stages.planning.plan"),
    ],
)
def test_a_forbidden_import_is_found(tmp_path: Path, file: str, text: str) -> None:
    packages = [f"thumb_pipeline/{layer}/__init__.py" for layer in MAY_IMPORT if layer != "definitions"]
    root = written(tmp_path, dict.fromkeys(packages, "") | {f"thumb_pipeline/{file}": text})
    assert len(complaints_about_imports(root)) == 1


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("definitions.py", "import dagster as dg\nfrom thumb_pipeline.defs import assets"),
        ("defs/assets.py", "import dagster as dg\nfrom thumb_pipeline.stages import plan"),
        ("stages/plan.py", "from thumb_pipeline.imaging import render\nfrom thumb_pipeline.domain import names"),
        ("stages/repair/repair.py", "from thumb_pipeline.stages.removal import journal"),
        ("imaging/render.py", "from PIL import Image\nfrom thumb_pipeline.imaging import steps"),
        ("cli/dagster/runs.py", "import dagster as dg\nfrom thumb_pipeline.definitions import defs"),
        ("cli/dagster/runs.py", "from thumb_pipeline.defs.runs import lanes"),
        ("cli/dagster/page.py", "import uvicorn\nfrom dagster_webserver import cli"),
        ("cli/commands/plan.py", "from thumb_pipeline import __version__\nfrom thumb_pipeline.stages import plan"),
    ],
)
def test_an_import_that_points_downwards_is_accepted(tmp_path: Path, file: str, text: str) -> None:
    packages = [f"thumb_pipeline/{layer}/__init__.py" for layer in MAY_IMPORT if layer != "definitions"]
    root = written(tmp_path, dict.fromkeys(packages, "") | {f"thumb_pipeline/{file}": text})
    assert complaints_about_imports(root) == []


def test_a_module_that_is_too_long_or_named_for_nothing_is_found(tmp_path: Path) -> None:
    root = written(
        tmp_path,
        {"thumb_pipeline/stages/utils.py": "", "thumb_pipeline_tests/test_all.py": "pass\n" * (MAX_LINES + 1)},
    )
    assert len(complaints_about_modules(root)) == 2


def test_a_folder_beside_the_layers_is_found(tmp_path: Path) -> None:
    assert complaints_about_layers(written(tmp_path, {"thumb_pipeline/services/mail.py": ""})) != []


def test_a_stray_file_is_found_and_an_ignored_one_is_not(tmp_path: Path) -> None:
    root = written(tmp_path, dict.fromkeys(REQUIRED, "") | {".gitignore": ".venv/\n*.log\n", "notes.txt": ""})
    written(root, {".venv/pyvenv.cfg": "", "a.log": ""})
    assert complaints_about_top_level(root) == ["notes.txt does not belong at the top level"]
