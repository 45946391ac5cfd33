"""What a run's config may say: values, and never the name of a variable of the server that holds one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pydantic import Field

from thumb_pipeline.definitions import build_definitions
from thumb_pipeline.defs.run_config import RunConfig, plain_type
from thumb_pipeline_tests.defs.conftest import QUIET, Located
from thumb_pipeline_tests.stages.archives import Archive

pytestmark = pytest.mark.quick

SECRET = "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY"
VARIABLE = "AWS_SECRET_ACCESS_KEY"
REFERENCE = {"env": VARIABLE}
PLACES = ("ops", "resources")
"""Where a config of ours or of a resource lies; executors and loggers are Dagster's own, and looked at all the same."""


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(VARIABLE, SECRET)
    return SECRET


def leaves(kind: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every place of a config type that takes something other than fields, with its type; "[]" is a list's member."""
    kind = getattr(kind, "config_type", kind)
    word = kind.kind.value
    if word in ("STRICT_SHAPE", "PERMISSIVE_SHAPE", "SELECTOR"):
        for name, field in kind.fields.items():
            yield from leaves(field, (*path, name))
    elif word == "ARRAY":
        yield from leaves(kind.inner_type, (*path, "[]"))
    elif word == "NONEABLE":
        yield from leaves(kind.inner_type, path)
    elif word == "MAP":
        yield from leaves(kind.inner_type, (*path, "{}"))
    else:
        assert word in ("SCALAR", "SCALAR_UNION", "ANY", "ENUM"), word
        yield path, kind


def references(job: dg.JobDefinition) -> list[tuple[str, ...]]:
    """The places that take `{"env": NAME}` for a value."""
    unions = [found for found in leaves(job.run_config_schema.config_type) if found[1].kind.value == "SCALAR_UNION"]
    return [path for path, kind in unions if "env" in getattr(kind.non_scalar_type, "fields", {})]


def jobs() -> list[dg.JobDefinition]:
    return list(build_definitions().get_repository_def().get_all_jobs())


def config_with(path: tuple[str, ...], value: object) -> Any:
    for name in reversed(path):
        value = [value] if name == "[]" else {name: value}
    return value


def test_no_field_of_any_job_takes_the_name_of_a_variable() -> None:
    assert {job.name: references(job) for job in jobs() if references(job)} == {}


def test_the_search_finds_such_fields_where_there_are_some() -> None:
    class Told(dg.Config):
        word: str
        words: list[str]
        inner: dict[str, int]

    @dg.op
    def say(config: Told) -> None: ...

    @dg.job
    def talk() -> None:
        say()

    where = ("ops", "say", "config")
    assert references(talk) == [(*where, "word"), (*where, "words", "[]"), (*where, "inner", "{}")]


CONFIGURED = {
    *("take_order", "report_order", "cut_plan", "image_inventory", "missing_thumbnails", "follow_captures"),
    *("render_named", "verify_timelapses", "verify_oldest", "sweep_orphans", "purge_variants", "restore_removed"),
    "repair_library",
}
"""The ops and assets that a person may tell something."""


def test_a_reference_in_any_field_is_refused_before_a_run_and_repeats_no_value() -> None:
    refused = set()
    for job in jobs():
        for path, kind in leaves(job.run_config_schema.config_type):
            if path[0] in PLACES and kind.kind.value != "ANY":
                with pytest.raises(dg.DagsterInvalidConfigError) as why:
                    dg.validate_run_config(job, config_with(path, REFERENCE))
                assert "is not valid for expected type" in str(why.value)
                assert SECRET not in str(why.value)
                refused.add(path[:-2] if path[-1] == "[]" else path[:-1])
    ops = {place[-2] for place in refused if place[0] == "ops"}
    assert ops == CONFIGURED
    assert ("resources", "library", "config") in refused


def test_what_takes_anything_hands_it_to_nobody(located: Located) -> None:
    """Ops and resources without fields take any config, and drop it."""
    job = build_definitions(library=str(located.archive.root)).resolve_job_def("generate")
    done = job.execute_in_process(
        instance=located.instance,
        run_config={
            **QUIET,
            "ops": {"take_order": {"config": {"force": True}}, "render_chunk": {"config": REFERENCE}},
            "resources": {"progress": {"config": REFERENCE}},
        },
    )
    assert done.success
    said = [entry.message + str(entry.dagster_event) for entry in located.instance.all_logs(done.run_id)]
    assert said
    assert not any(SECRET in line for line in said)


def test_a_runs_config_names_no_folder_for_what_ops_hand_on(tmp_path: Path) -> None:
    config = {"resources": {"io_manager": {"config": {"base_dir": str(tmp_path)}}}}
    for job in jobs():
        with pytest.raises(dg.DagsterInvalidConfigError, match="unexpected config entry"):
            dg.validate_run_config(job, config)


def test_a_runs_config_may_name_its_library_as_it_stands(archive: Archive, instance: dg.DagsterInstance) -> None:
    archive.frame("a.jpg")
    job = build_definitions().resolve_job_def("generate")
    named = {"library": {"config": {"root": str(archive.root)}}}
    assert job.execute_in_process(instance=instance, run_config={**QUIET, "resources": named}).success
    assert len(archive.variant_files()) == 2


def test_a_value_out_of_bounds_is_refused_in_words(located: Located) -> None:
    job = build_definitions(library=str(located.archive.root)).resolve_job_def("verify_rolling")
    config = {"ops": {"verify_oldest": {"config": {"n_bytes": -1}}}}
    done = job.execute_in_process(instance=located.instance, run_config={**QUIET, **config}, raise_on_error=False)
    [failed] = [event for event in done.all_events if event.is_step_failure]
    assert failed.step_failure_data.user_failure_data.description == (
        "the config of this run cannot be used: n_bytes: Input should be greater than or equal to 0"
    )


class Everything(RunConfig):
    """Every kind of field there may be."""

    switch: bool = Field(default=False, description="A switch.")
    number: int = 3
    ratio: float = 0.5
    word: str
    words: list[str] = Field(default=[])
    maybe: int | None = None


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ({"word": "a"}, {"switch": False, "number": 3, "ratio": 0.5, "word": "a", "words": [], "maybe": None}),
        (
            {"switch": True, "number": 10**30, "ratio": 2.5, "word": "", "words": ["x"], "maybe": 0},
            {"switch": True, "number": 10**30, "ratio": 2.5, "word": "", "words": ["x"], "maybe": 0},
        ),
    ],
)
def test_fields_take_their_values_and_have_their_defaults(
    instance: dg.DagsterInstance, given: dict[str, Any], taken: dict[str, Any]
) -> None:
    found: list[Everything] = []

    @dg.op(config_schema=Everything.as_field())
    def take(context: dg.OpExecutionContext) -> None:
        found.append(Everything.of(context))

    @dg.job
    def taking() -> None:
        take()

    config = {"ops": {"take": {"config": given}}}
    assert taking.execute_in_process(instance=instance, run_config=config).success
    assert [one.model_dump() for one in found] == [taken]


@pytest.mark.parametrize("field", ["switch", "number", "ratio", "word", "words", "maybe", "unknown"])
@pytest.mark.parametrize("value", [{"a": 1}, [[1]], REFERENCE])
def test_other_values_and_fields_are_refused(field: str, value: object) -> None:
    @dg.op(config_schema=Everything.as_field())
    def take(context: dg.OpExecutionContext) -> None: ...

    @dg.job
    def taking() -> None:
        take()

    with pytest.raises(dg.DagsterInvalidConfigError):
        dg.validate_run_config(taking, {"ops": {"take": {"config": {"word": "a", field: value}}}})


@pytest.mark.parametrize("annotation", [dict, dict[str, str], Any, bytes, Path, int | str, list[dict[str, str]]])
def test_a_field_of_another_type_is_a_fault_of_the_program(annotation: Any) -> None:
    with pytest.raises(TypeError, match="cannot be a field"):
        plain_type(annotation)


def test_a_run_of_one_librarys_services_names_no_other_library(
    located: Located, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Archive(tmp_path / "other")
    other.frame("a.jpg")
    before = set(tmp_path.joinpath("other").rglob("*"))
    monkeypatch.setenv("THUMB_PIPELINE_LIBRARY", str(located.archive.root))
    monkeypatch.setenv("DAGSTER_HOME", located.archive.library.dagster_home)
    named = {"library": {"config": {"root": str(other.root)}}}
    job = build_definitions().resolve_job_def("generate")
    done = job.execute_in_process(
        instance=located.instance, run_config={**QUIET, "resources": named}, raise_on_error=False
    )
    [failed] = [event for event in done.all_events if event.is_step_failure]
    assert "may not name another one" in str(failed.step_failure_data.user_failure_data.description)
    assert set(tmp_path.joinpath("other").rglob("*")) == before
