"""What tests of every part share. Pictures and libraries that one part needs are made in its own tests."""

import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from thumb_pipeline.cli.dagster.instance import POSTGRES_STORAGE, instance_settings
from thumb_pipeline.stages.library.run_database import POSTGRES_VARIABLE
from thumb_pipeline_tests.postgres import NoPostgres, Postgres
from thumb_pipeline_tests.progress import Progress

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of real pictures; a test that uses it is skipped where there is none."""
    named = os.environ.get("THUMB_PIPELINE_CORPUS")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "corpus"
    if not folder.is_dir():
        pytest.skip(f"no real pictures at {folder}: set THUMB_PIPELINE_CORPUS to the folder that holds them")
    return folder


TIERS = ("quick", "daemon", "long")
"""What a run of the tests can stop at: what takes minutes; all that has to pass; what takes hours."""

STORAGES = ("sqlite", "postgres")
_ON_A_STORAGE = ("storage", "storage_without_tables")


def pytest_addoption(parser: pytest.Parser) -> None:
    """What a run of the tests may be asked for besides what pytest knows."""
    text = (
        "run the tests up to this tier; long has besides both storages of runs everywhere, daemons at their own speed, "
        "commands started and not forked, and a thousand sequences"
    )
    parser.addoption("--tier", choices=TIERS, default="daemon", help=text)


def is_long(config: pytest.Config) -> bool:
    """Whether nothing is to be spared."""
    return bool(config.getoption("tier") == "long")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what is of a higher tier; the nearest mark tells."""
    chosen = TIERS[: TIERS.index(config.getoption("tier")) + 1]
    left_out = [item for item in items if tier_of(item) not in chosen]
    items[:] = [item for item in items if tier_of(item) in chosen]
    config.hook.pytest_deselected(items=left_out)


def tier_of(item: pytest.Item) -> str:
    """The tier of a test."""
    return next((mark.name for mark in item.iter_markers() if mark.name in TIERS), TIERS[0])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Says what was left out, and how to have it."""
    left_out = {
        "quick": "left out: services, databases, kills, failing disks; `python3 run.py test --all` runs them too",
        "daemon": "left out: what takes hours; `python3 run.py test --long` runs that too",
    }
    if (text := left_out.get(config.getoption("tier"))) is not None:
        terminalreporter.write_line(text)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Chooses what keeps the runs: both where the claim is about that, else one by the test's name, always the same."""
    is_on_both = is_long(metafunc.config) or metafunc.definition.get_closest_marker("both_storages")
    one = STORAGES[zlib.crc32(metafunc.definition.nodeid.encode()) % len(STORAGES)]
    for name in _ON_A_STORAGE:
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, STORAGES if is_on_both else [one], indirect=True)


def pytest_configure(config: pytest.Config) -> None:
    """No test ever writes into a database that somebody has named for a library of theirs."""
    os.environ.pop(POSTGRES_VARIABLE, None)
    if is_long(config):
        os.environ.setdefault("PYTHONPATH", "")  # so that no quick daemon is put there
        os.environ.setdefault("THUMB_PIPELINE_SEQUENCES", "1000")
    if not hasattr(config, "workerinput") and config.getoption("verbose") < 0:
        config.pluginmanager.register(Progress(config))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL; a test that uses it is skipped where none can be started, but fails in CI."""
    yield from _running()


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A running PostgreSQL that no other test uses, and this one may crash."""
    yield from _running()


def _running() -> Iterator[Postgres]:
    try:
        server = Postgres()
    except NoPostgres as why:
        if os.environ.get("CI"):  # nobody reads there what was skipped
            pytest.fail(f"no PostgreSQL, which CI must have: {why}")
        pytest.skip(f"no PostgreSQL: {why}")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def dagster_tables(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a database with Dagster's empty tables: copying it is faster than making them."""
    import dagster as dg

    address = postgres.fresh()
    home = tmp_path_factory.mktemp("dagster")
    (home / "dagster.yaml").write_text(POSTGRES_STORAGE + instance_settings())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(POSTGRES_VARIABLE, address.replace("postgresql:", "postgresql+psycopg2:"))
        with dg.DagsterInstance.from_config(str(home)) as instance:
            instance.get_runs(limit=1)
            instance.all_instigator_state()
    return address.rpartition("/")[2]


@pytest.fixture
def database(postgres: Postgres, dagster_tables: str) -> Iterator[str]:
    """The address of a database that no library has used yet."""
    address = postgres.fresh(dagster_tables)
    yield address
    postgres.drop(address)


@pytest.fixture
def on_postgres(database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The environment names a database of the test's own; its address."""
    monkeypatch.setenv(POSTGRES_VARIABLE, database)
    return database


@pytest.fixture
def storage(request: pytest.FixtureRequest) -> str:
    """What keeps the runs (`pytest_generate_tests` chooses)."""
    if request.param == "postgres":
        request.getfixturevalue("on_postgres")
    return str(request.param)


@pytest.fixture
def storage_without_tables(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same, and Dagster has never opened the database."""
    if request.param == "postgres":
        monkeypatch.setenv(POSTGRES_VARIABLE, request.getfixturevalue("postgres").fresh())
    return str(request.param)
