"""Libraries whose paths are very long: what works, and what is refused for its true reason."""

import os
import shutil
from pathlib import Path

import pytest

from thumb_pipeline.cli.dagster import runs
from thumb_pipeline.cli.dagster.instance import refuse_long_path
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.library.open import initialise, open_library
from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline_tests.cli.conftest import Archive, Run

pytestmark = pytest.mark.daemon

SYSTEM_TAKES = 4095
"""Bytes of a path, without the zero at its end (PATH_MAX of Linux)."""


def path_of(n_bytes: int, top: Path) -> Path:
    """A path of exactly so many bytes, in folders whose names are no longer than a file system takes."""
    path = str(top)
    while (left := n_bytes - len(path)) > 0:
        n_name = min(200, left - 1)
        if 0 < left - n_name - 1 < 2:
            n_name -= 1  # or no name is left for the last folder
        path += "/" + "d" * n_name
    assert len(os.fsencode(path)) == n_bytes
    return Path(path)


def library_of(n_bytes: int, top: Path) -> Archive:
    root = path_of(n_bytes, top)
    initialise(str(root))
    return Archive(root)


@pytest.fixture
def most(tmp_path: Path) -> int:
    """Bytes of the longest library whose state folder, in it, SQLite can work in."""
    return 504 - len("/.thumb_pipeline/dagster/history/runs/12345678-1234-1234-1234-123456789012.db")


@pytest.mark.daemon
def test_up_to_its_limit_a_library_works_and_one_byte_more_is_refused(tmp_path: Path, most: int, run: Run) -> None:
    fits = library_of(most, tmp_path / "fits")
    fits.fill(1)
    assert run("generate", "--library", fits.root).code == 0
    assert len(fits.variants()) == 2
    (event_log,) = (fits.root / ".thumb_pipeline/dagster/history/runs").glob("????????-*.db")
    assert len(os.fsencode(event_log)) == 504
    refuse_long_path(open_library(str(fits.root)))
    with pytest.raises(Refused, match=f"has {most + 17:,} bytes of at most {most + 16:,}"):
        refuse_long_path(open_library(str(library_of(most + 1, tmp_path / "over").root)))


@pytest.mark.daemon
@pytest.mark.parametrize("n_bytes", [300, 500, 1000, 3900])
def test_a_long_library_works_or_says_that_its_path_is_too_long(tmp_path: Path, run: Run, n_bytes: int) -> None:
    library = library_of(n_bytes, tmp_path)
    library.fill(1)
    done = run("generate", "--library", library.root)
    if n_bytes == 300:
        assert (done.code, len(library.variants())) == (0, 2)
        return
    assert done.code == 2
    said = done.err.strip()
    assert said.startswith("thumb-pipeline: the path of the state folder is too long for SQLite")
    assert f"has {n_bytes + 16:,} bytes of at most 443" in said
    assert "Name a folder with a shorter path as storage.state" in said
    assert "disk" not in said.replace(str(library.root), "")
    assert os.listdir(library.root / ".thumb_pipeline") == ["last-valid-thumbs.toml"]


@pytest.mark.daemon
def test_every_command_that_needs_runs_says_it_before_it_changes_anything(tmp_path: Path, run: Run) -> None:
    library = library_of(500, tmp_path)
    library.fill(1)
    commands = [
        ["up"],
        ["status"],
        ["cancel", "--all"],
        ["regenerate", "--all"],
        ["purge", "--apply", "--yes"],
        ["generate"],
    ]
    for command in commands:
        ended = run(*command, "--library", library.root)
        assert ended.code == 2, (command, ended.err)
        assert "too long for SQLite" in ended.err
    assert run("plan", "--library", library.root, "--json").json["by_reason"]["missing"] == 2
    assert not list((library.root / ".thumb_pipeline").rglob("*.lease"))
    assert not (library.root / ".thumb_pipeline/dagster").exists()
    assert not (library.root / ".thumb_pipeline/trash").exists()


@pytest.mark.daemon
def test_with_a_state_folder_of_a_shorter_path_the_longest_libraries_work(tmp_path: Path, run: Run) -> None:
    library = library_of(3900, tmp_path / "library")
    library.fill(1)
    settings = library.root / "thumbs.toml"
    settings.write_text(settings.read_text().replace('state = ".thumb_pipeline"', f'state = "{tmp_path}/state"'))
    assert run("generate", "--library", library.root).code == 0
    assert len(library.variants()) == 2
    assert run("purge", "--apply", "--yes", "--library", library.root).code == 0
    assert library.variants() == {}


@pytest.mark.daemon
@pytest.mark.usefixtures("on_postgres")
def test_with_postgres_the_path_may_have_any_length(tmp_path: Path) -> None:
    opened: Library = open_library(str(library_of(1000, tmp_path).root))
    refuse_long_path(opened)
    runs.make_instance(opened)


def test_no_library_is_made_where_not_even_its_settings_can_be_written(tmp_path: Path) -> None:
    root = path_of(SYSTEM_TAKES - 5, tmp_path)
    with pytest.raises(Refused, match="File name too long; shorten the path, which may have 4,095 bytes"):
        initialise(str(root))
    shutil.rmtree(tmp_path / root.relative_to(tmp_path).parts[0], ignore_errors=True)
