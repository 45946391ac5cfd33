"""The documentation says what the code does: tables, keys, options, folders and links are held against it."""

import ast
import dataclasses
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import typer
import yaml
from typer.testing import CliRunner

from thumb_pipeline.cli.app import COMMANDS, app
from thumb_pipeline.cli.commands.demo import DEFAULT_FOLDER
from thumb_pipeline.cli.commands.generate import Summary
from thumb_pipeline.cli.console import ExitCode
from thumb_pipeline.cli.dagster.instance import POSTGRES_STORAGE, WORKSPACE, instance_settings
from thumb_pipeline.definitions import build_definitions
from thumb_pipeline.domain import names
from thumb_pipeline.domain.capture_times import Basis
from thumb_pipeline.domain.failures import FailureReason
from thumb_pipeline.domain.layout import SETTINGS_NAME
from thumb_pipeline.domain.plans import Reason
from thumb_pipeline.domain.removals import KeptReason, Operation
from thumb_pipeline.domain.settings import Settings
from thumb_pipeline.stages.demo import demo_frames
from thumb_pipeline.stages.library.open import initialise, open_library
from thumb_pipeline.stages.library.run_database import POSTGRES_VARIABLE
from thumb_pipeline.stages.removal import run
from thumb_pipeline.stages.removal.planned import RemovalWish
from thumb_pipeline.stages.removal.restore import restore
from thumb_pipeline_tests.project import written

pytestmark = pytest.mark.quick

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PAGES = sorted(
    path
    for path in REPOSITORY.rglob("*.md")
    if not any(part.startswith(".") for part in path.relative_to(REPOSITORY).parts)
)
NOTHING = "\N{EN DASH}"


def page(name: str) -> str:
    return (REPOSITORY / "docs" / name).read_text(encoding="utf-8")


def table(text: str, first_header: str) -> list[list[str]]:
    """The cells of the one table whose first header this is."""
    found = re.findall(rf"^\| {re.escape(first_header)} \|.*\n\|[-|]+\n((?:\|.*\n?)+)", text, re.MULTILINE)
    assert len(found) == 1, f"{len(found)} tables start with {first_header}"
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in found[0].splitlines()]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def blocks(text: str) -> list[str]:
    return re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


# Settings


def test_the_page_of_the_settings_is_written_from_them() -> None:
    remedy = ".venv/bin/python -m thumb_pipeline_tests.project.written"
    assert page("settings.md") == written.settings_page(), remedy


def test_every_setting_has_a_meaning() -> None:
    assert [key for key, _, meaning in written.settings_keys() if meaning == "None"] == []


# The command line


def commands() -> dict[str, Any]:
    group: Any = typer.main.get_command(app)
    return dict(group.commands)


def options_of(command: Any) -> set[str]:
    found = {opt for parameter in command.params if parameter.param_type_name == "option" for opt in parameter.opts}
    return found - {"--help"}


def test_every_command_is_documented_and_every_documented_one_exists() -> None:
    documented = [code(row[0])[0].split()[1] for row in table(page("commands.md"), "Command")]
    assert documented == list(commands())


def test_every_option_is_documented_with_the_commands_that_take_it() -> None:
    documented = {code(row[0])[0].split()[0]: set(code(row[1])) for row in table(page("commands.md"), "Option")}
    taken = {
        option: {name for name, command in commands().items() if option in options_of(command)}
        for option in set().union(*map(options_of, commands().values()))
    }
    assert documented == taken


def test_options_that_any_page_shows_exist() -> None:
    known = set().union(*map(options_of, commands().values()))
    shown = {
        option
        for path in PAGES
        for line in re.findall(rf"(?:thumb-pipeline|run\.py) (?:{'|'.join(commands())})[^`\n]*", path.read_text())
        for option in re.findall(r"--[a-z-]+", line)
    }
    assert shown <= known


def test_the_list_of_commands_says_of_each_what_its_own_help_begins_with() -> None:
    assert {name: command.help.splitlines()[0] for name, command in commands().items()} == COMMANDS


def test_no_summary_in_the_help_is_cut_off() -> None:
    shown = CliRunner().invoke(app, ["--help"], terminal_width=80).output
    assert "..." not in shown.partition("Commands:")[2]


def test_the_exit_codes_are_those_of_the_code() -> None:
    documented = {int(code): re.split(r"\W", meaning)[0] for code, meaning in table(page("commands.md"), "Exit code")}
    assert documented == {exit_code.value: exit_code.name.lower() for exit_code in ExitCode}


def keys_in(document: Any) -> set[str]:
    """Every key of a document, but for the names of variants."""
    if not isinstance(document, dict):
        return set()
    return (set(document) - set(Settings().variants)) | set().union(set(), *map(keys_in, document.values()))


RUN_ID = "00000000-0000-4000-8000-000000000000"


def documented_keys(command: str) -> set[str]:
    rows = table(page("commands.md"), "Command")
    return {key for row in rows if code(row[0])[0].split()[1] == command for key in code(row[2])}


def printed_keys(command: str) -> set[str]:
    """Keys of the document a command prints, from its source: for those too slow to run here."""
    source = (REPOSITORY / "thumb_pipeline" / "cli" / "commands" / f"{command}.py").read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print_json":
            document = node.args[0]
            assert isinstance(document, ast.Dict)
            return {key.value for key in document.keys if isinstance(key, ast.Constant)}
    raise AssertionError(f"{command} prints no document")


@pytest.fixture
def library(tmp_path: Path) -> Path:
    initialise(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("command", ["init", "adopt", "plan", "generate", "sweep", "purge", "stats"])
def test_the_documented_json_keys_are_the_printed_ones(library: Path, command: str) -> None:
    ended = CliRunner().invoke(app, [command, "--library", str(library), "--json"])
    assert ended.exit_code == 0, ended.output
    assert documented_keys(command) == keys_in(json.loads(ended.stdout))


def test_the_documented_json_keys_of_trash_and_restore_are_the_printed_ones(library: Path) -> None:
    for folder, name in (("frames", "a.jpg"), ("smalls", "b.jpg_small.jpg")):
        path = library / "cameras" / "camera-1" / "timelapse-1" / folder / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
    opened = open_library(str(library))
    with opened.lease() as lease:
        run.perform(opened, Operation.SWEEP, RemovalWish(), RUN_ID, lease)
        shown = json.loads(CliRunner().invoke(app, ["trash", "--library", str(library), "--json"]).stdout)
        assert documented_keys("trash") == keys_in(shown) | keys_in(shown["entries"][0])
        assert documented_keys("restore") == set(restore(opened, RUN_ID, lease).document())


def test_the_documented_json_keys_of_up_are_the_printed_ones() -> None:
    assert documented_keys("up") == printed_keys("up")


def test_the_documented_json_keys_of_demo_are_those_of_generate_and_its_own() -> None:
    assert documented_keys("demo") - {"generate"} == printed_keys("demo") - {"run_ids"}
    assert documented_keys("generate") == {field.name for field in dataclasses.fields(Summary)} | {"run_ids"}


def test_the_reasons_of_a_plan_are_all_documented() -> None:
    assert {reason.value for reason in Reason} <= documented_keys("plan")


def test_the_shown_output_of_the_demo_counts_the_frames_of_the_demo() -> None:
    by_timelapse: dict[str, int] = {}
    for frame in demo_frames():
        _, camera, timelapse, *_ = frame.path.split("/")
        key = f"{camera}/{timelapse}"
        by_timelapse[key] = by_timelapse.get(key, 0) + 1
    shown = {key: int(n) for key, n in re.findall(r"│ (camera-\S+)  thumbnail +│ +(\d+) │", README)}
    assert shown == by_timelapse


def test_the_readme_is_short_and_names_every_command_as_the_help_does() -> None:
    assert len(README.encode()) <= 8 * 1024
    (text,) = [block for block in blocks(README) if block.startswith("demo ")]
    assert dict(line.split(None, 1) for line in text.splitlines()) == COMMANDS


# Assets and instances


def test_the_table_of_assets_is_the_definitions() -> None:
    graph = build_definitions().resolve_asset_graph()
    partitions: dict[str, str] = {}
    for node in graph.asset_nodes:
        definition = node.partitions_def
        name = definition.name if isinstance(definition, dg.DynamicPartitionsDefinition) else None
        partitions[node.key.to_user_string()] = f"`{name}`" if name else NOTHING
    assert {code(row[0])[0]: row[1] for row in table(page("in-dagster.md"), "Asset")} == partitions


def test_the_table_of_checks_is_the_definitions() -> None:
    graph = build_definitions().resolve_asset_graph()
    documented = {code(row[0])[0] for row in table(page("in-dagster.md"), "Check")}
    assert documented == {key.name for key in graph.asset_check_keys}


def test_the_table_of_jobs_is_the_definitions_with_their_priorities() -> None:
    jobs = {job.name: job.tags.get("dagster/priority", "0") for job in build_definitions().resolve_all_job_defs()}
    del jobs["__ASSET_JOB"]
    assert {code(row[0])[0]: row[1] for row in table(page("in-dagster.md"), "Job")} == jobs


def test_the_table_of_schedules_is_the_definitions() -> None:
    found = {
        one.name: [one.cron_schedule, "on" if one.default_status is dg.DefaultScheduleStatus.RUNNING else "off"]
        for one in build_definitions().schedules or []
        if isinstance(one, dg.ScheduleDefinition) and one.execution_timezone == "UTC"
    }
    assert {code(row[0])[0]: [code(row[1])[0], row[2]] for row in table(page("in-dagster.md"), "Schedule")} == found


@pytest.mark.parametrize("name", written.INSTANCE_FILES)
def test_the_instance_files_are_written_from_that_of_every_library(name: str) -> None:
    remedy = ".venv/bin/python -m thumb_pipeline_tests.project.written"
    assert (REPOSITORY / name).read_text(encoding="utf-8") == written.instance_file(name), remedy


def test_the_instance_file_for_postgres_is_what_up_writes_there() -> None:
    deployed = yaml.safe_load((REPOSITORY / "deploy" / "postgres" / "dagster.yaml").read_text(encoding="utf-8"))
    assert deployed == yaml.safe_load(POSTGRES_STORAGE + instance_settings())
    assert deployed["storage"] == {"postgres": {"postgres_url": {"env": POSTGRES_VARIABLE}}}


def test_the_instance_of_the_root_lies_where_the_demo_keeps_its_own() -> None:
    root = yaml.safe_load((REPOSITORY / "dagster.yaml").read_text(encoding="utf-8"))
    assert root["storage"]["sqlite"]["base_dir"] == f"{DEFAULT_FOLDER}/.thumb_pipeline/dagster"


def test_the_workspace_names_the_code_location_of_the_project() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["dg"]["project"]
    (place,) = yaml.safe_load((REPOSITORY / "workspace.yaml").read_text(encoding="utf-8"))["load_from"]
    assert place["python_module"]["location_name"] == project["code_location_name"]
    assert place["python_module"]["module_name"] == f"{project['root_module']}.definitions"


def test_up_loads_the_same_code_location_as_the_workspace_of_the_root() -> None:
    (place,) = yaml.safe_load((REPOSITORY / "workspace.yaml").read_text(encoding="utf-8"))["load_from"]
    del place["python_module"]["working_directory"]  # the package may not be installed there
    assert yaml.safe_load(WORKSPACE) == {"load_from": [place]}


# Lists


def test_the_list_of_failures_is_the_closed_one() -> None:
    documented = {code(row[0])[0]: row[2] for row in table(page("failures.md"), "Reason")}
    expected = {reason.value: "between retries" if reason.is_transient else "yes" for reason in FailureReason}
    assert documented == expected


def test_the_list_of_reasons_to_keep_a_file_is_the_closed_one() -> None:
    documented = [code(row[0])[0] for row in table(page("removing.md"), "Kept")]
    assert documented == [reason.value for reason in KeptReason]


def test_the_endings_that_are_left_out_are_those_of_the_code() -> None:
    documented = [code(row[0])[0].encode() for row in table(page("names-and-times.md"), "Ending")]
    assert documented == list(names.TEMPORARY_ENDINGS)


def test_the_documented_bases_of_captured_at_are_all_there_are() -> None:
    documented = {code(row[0])[0] for row in table(page("names-and-times.md"), "Basis")}
    assert documented == {basis.value for basis in Basis}


def test_the_shown_names_of_variants_are_the_true_ones() -> None:
    rows = table(page("names-and-times.md"), "Form")
    shown = [(code(source)[0], code(variant)[0]) for _, source, variant in rows if code(source)]
    assert len(shown) == 3
    for source, variant in shown:
        assert names.variant_name(source.encode(), "thumb", "jpg") == variant.encode()


def test_the_shown_texts_of_names_are_the_true_ones() -> None:
    rows = table(page("names-and-times.md"), "Name")
    shown = [(b"".join(map(str.encode, code(name))), code(text)[0]) for name, text in rows if "byte" not in name]
    shown.append((b"sky\xff.jpg", next(code(text)[0] for name, text in rows if "byte FF" in name)))
    assert [names.to_text(name) for name, _ in shown] == [text for _, text in shown]


# Maps


def test_every_folder_of_the_map_exists_and_every_layer_is_in_it() -> None:
    (text,) = [block for block in blocks(README) if block.startswith("thumb_pipeline/")]
    mapped = {line.split()[0] for line in text.splitlines()}
    assert [folder for folder in sorted(mapped) if not (REPOSITORY / folder).is_dir()] == []
    packages = {f"thumb_pipeline/{init.parent.name}/" for init in (REPOSITORY / "thumb_pipeline").glob("*/__init__.py")}
    assert packages <= mapped


def test_the_map_of_a_library_names_what_lies_in_one(library: Path) -> None:
    (text,) = [block for block in blocks(page("state.md")) if block.startswith("LIBRARY/")]
    mapped = {line.split()[0] for line in text.splitlines()[1:]}
    opened, key = open_library(str(library)), "camera-1/timelapse-2"
    folders = [opened.lease_folder, opened.plans, opened.watch, opened.dagster_home, opened.inventory.root]
    folders += [opened.frames(key), opened.journals, opened.trash]
    folders += [f"{opened.variants(key)}/{spec.folder}" for spec in opened.settings.specs.values()]
    assert mapped == {SETTINGS_NAME, *(str(Path(folder).relative_to(opened.root)) + "/" for folder in folders)}


def test_the_state_page_explains_every_folder_of_the_state(library: Path) -> None:
    opened = open_library(str(library))
    tables = [opened.inventory, opened.manifest, opened.last_plan, opened.damage, opened.checked]
    tables += [opened.findings, opened.verdicts, opened.verified, opened.reported]
    folders = [opened.lease_folder, opened.plans, opened.watch, opened.dagster_home, opened.journals]
    folders += [f"{one.root}/{one.schema.name}" for one in tables]
    expected = {str(Path(folder).relative_to(opened.state)) + "/" for folder in folders}
    documented = {path for row in table(page("state.md"), "Path") for path in code(row[0]) if path.endswith("/")}
    assert documented == expected


# Pages


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        place = path.parent / file if file else path
        if not place.exists() or (anchor and anchor not in anchors(place)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("name", ["docs/how-it-works.md", "CONTRIBUTING.md"])
def test_every_module_and_folder_that_is_named_exists(name: str) -> None:
    packages = [REPOSITORY / "thumb_pipeline", REPOSITORY / "thumb_pipeline_tests"]
    tops = [REPOSITORY, *packages, *(folder for package in packages for folder in package.rglob("*/"))]
    named = re.findall(r"`((?:\w+/)*\w+(?:\.py|\.md|/))`", (REPOSITORY / name).read_text(encoding="utf-8"))
    assert len(named) > 10
    assert [place for place in named if not any((top / place).exists() for top in tops)] == []


def test_every_page_of_the_documentation_is_behind_a_door() -> None:
    doors = page("README.md")
    pages = {path.name for path in (REPOSITORY / "docs").glob("*.md")} - {"README.md"}
    assert [name for name in sorted(pages) if f"]({name}" not in doors] == []


def test_every_decision_is_listed() -> None:
    folder = REPOSITORY / "docs" / "decisions"
    records = sorted(path.name for path in folder.glob("[0-9]*.md"))
    listed = re.findall(r"\]\((\d[^)]*\.md)\)", (folder / "README.md").read_text(encoding="utf-8"))
    assert listed == records


def test_the_changelog_has_a_section_for_what_is_not_released() -> None:
    assert "\n## [Unreleased]\n" in (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_package_says_that_it_is_typed() -> None:
    assert (REPOSITORY / "thumb_pipeline" / "py.typed").is_file()
