"""Every command over a library with a variant whose seal holds and whose note nobody wrote: as with any corrupt one."""

import json
import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from PIL import Image

from thumb_pipeline.domain.variants import OutputFormat
from thumb_pipeline.stages.examining.contact_sheets import newest_thumbnails_base64, write_contact_sheet
from thumb_pipeline.stages.library.open import open_library
from thumb_pipeline_tests.cli.conftest import Run
from thumb_pipeline_tests.cli.faults import Ended, run_main
from thumb_pipeline_tests.domain.notes import HOSTILE
from thumb_pipeline_tests.imaging.hostile import sealed
from thumb_pipeline_tests.stages.archives import KEY, Archive, states

pytestmark = pytest.mark.daemon

OTHER = "camera-2/timelapse-2"
KINDS = ["a lone surrogate for the source", "a lone surrogate for the moment", "sizes beyond the tables"]
COMMANDS = [("plan",), ("verify",), ("verify", "--deep"), ("repair",), ("repair", "--apply"), ("sweep",), ("stats",)]


def library_with(root: Path, data: bytes) -> Archive:
    """Two timelapses of two frames, all variants made; one file of the first was then replaced."""
    archive = Archive(root)
    archive.settings(settle_s="0.0")
    for key in (KEY, OTHER):
        archive.frame("a.jpg", key=key, color=1)
        archive.frame("b.jpg", key=key, color=2)
    archive.run()
    archive.variant("a.jpg").write_bytes(data)
    return archive


def hostile(kind: str, **changed: Any) -> bytes:
    return sealed(picture=Image.new("RGB", (32, 24)), **HOSTILE[kind], **changed)


def told(archive: Archive, *command: str) -> tuple[int, Any]:
    """The exit code of a command and its JSON document; nothing of it is a traceback."""
    ended = run_main(*command, "--json", "--library", str(archive.root))
    assert "Traceback" not in ended.err, ended.err
    return ended.code, json.loads(ended.out)


def without_sizes(document: Any) -> Any:
    """A document without bytes, times and ids, which differ from one library to the next."""
    if isinstance(document, dict):
        left = {"n_bytes", "predicted_s", "duration_s", "run_ids", "run_id"}
        return {name: without_sizes(value) for name, value in document.items() if name not in left}
    return document


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, ...], tuple[int, Any]]:
    """What each command says of a library with a file that was cut in half."""
    archive = library_with(tmp_path_factory.mktemp("cut") / "library", hostile(KINDS[0])[:400])
    return {command: told(archive, *command) for command in COMMANDS}


@pytest.mark.parametrize("kind", KINDS)
def test_each_command_says_what_it_says_of_a_file_cut_in_half(
    tmp_path: Path, kind: str, cut: dict[tuple[str, ...], tuple[int, Any]]
) -> None:
    archive = library_with(tmp_path / "library", hostile(kind))
    before = states(archive.root / "cameras")
    for command in COMMANDS:
        code, document = told(archive, *command)
        assert (code, without_sizes(document)) == (cut[command][0], without_sizes(cut[command][1])), command
    assert cut["verify",][0] == 1
    assert cut["verify",][1]["corrupt"] == 1
    assert states(archive.root / "cameras") == before


@pytest.mark.parametrize("output_format", [OutputFormat.JPEG, OutputFormat.WEBP])
def test_generate_makes_it_again_and_leaves_the_other_timelapse_alone(
    tmp_path: Path, output_format: OutputFormat, run: Run
) -> None:
    data = sealed(output_format, Image.new("RGB", (32, 24)), **HOSTILE["a lone surrogate for the source"])
    archive = library_with(tmp_path / "library", data)
    other = states(archive.root / "cameras" / OTHER)
    ended = run("generate", "--json", "--library", archive.root)
    assert (ended.code, ended.json["rendered"], ended.json["unchanged"]) == (0, 1, 7), ended.err
    assert "Traceback" not in ended.err
    assert states(archive.root / "cameras" / OTHER) == other
    assert told(archive, "verify")[0] == 0
    ended = run("status", "--json", "--library", archive.root)
    assert (ended.code, ended.json["failed"]) == (0, 0), ended.err


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_recorded_so_is_found_by_a_deep_look(tmp_path: Path, kind: str) -> None:
    archive = library_with(tmp_path / "library", hostile(kind))
    record_as_it_is(archive)
    assert told(archive, "verify")[0] == 0
    code, document = told(archive, "verify", "--deep")
    assert (code, document["corrupt"]) == (1, 1)
    assert told(archive, "plan")[1]["by_reason"]["corrupt"] == 1


def record_as_it_is(archive: Archive) -> None:
    """The manifest says of the replaced file what is true of its size and mtime."""
    status = archive.variant("a.jpg").stat()
    is_it = (pl.col("source_name") == "a.jpg") & (pl.col("variant") == "small")
    row = archive.manifest().filter(is_it)
    library = archive.library
    row = row.with_columns(n_bytes=pl.lit(status.st_size), mtime_ns=pl.lit(status.st_mtime_ns))
    library.manifest.merge(KEY, row)


@pytest.mark.parametrize("kind", KINDS)
def test_as_a_file_that_nothing_expects_it_stays_unmatched(tmp_path: Path, kind: str) -> None:
    archive = library_with(tmp_path / "library", hostile(kind))
    path = archive.variant("a.jpg")
    path.rename(path.with_name("nobody.jpg"))
    for command in (("repair",), ("repair", "--apply"), ("verify",)):
        assert told(archive, *command)[0] == 1
    assert told(archive, "repair")[1]["files_unmatched"] == 1
    assert told(archive, "sweep")[1]["planned"] == 1


def test_sheets_of_such_files_are_made_and_none_waits_for_a_pipe(tmp_path: Path) -> None:
    archive = library_with(tmp_path / "library", hostile(KINDS[0]))
    for name, variant in (("a.jpg", "thumbnail"), ("b.jpg", "thumbnail")):
        path = archive.variant(name, variant)
        path.unlink()
        os.mkfifo(path) if name == "b.jpg" else path.write_bytes(hostile(KINDS[2]))
    library = open_library(str(archive.root))
    with library.lease() as lease:
        assert newest_thumbnails_base64(library, KEY, lease) is not None
        assert write_contact_sheet(library, [KEY, OTHER], lease) is not None


def damaged(archive: Archive, table: str, data: bytes) -> Path:
    (file,) = Path(archive.library.state, "datasets", table, KEY).glob("*.parquet")
    file.write_bytes(data)
    return file


def is_a_sentence(ended: Ended, file: Path) -> bool:
    return "Traceback" not in ended.err and str(file) in ended.err and "delete its folder" in ended.err


@pytest.mark.parametrize("table", ["inventory", "manifest"])
def test_a_table_that_cannot_be_used_refuses_each_command_in_a_sentence(tmp_path: Path, table: str) -> None:
    archive = library_with(tmp_path / "library", b"")
    before = states(archive.root / "cameras")
    file = damaged(archive, table, b"no table")
    for command in COMMANDS:
        ended = run_main(*command, "--library", str(archive.root))
        if command == ("stats",):
            assert ended.code == 0, ended  # counted where they lie
        else:
            assert (ended.code, is_a_sentence(ended, file)) == (2, True), (command, ended)
        ended = run_main(*command, "--timelapse", OTHER, "--library", str(archive.root))
        assert command == ("stats",) or ended.code in (0, 1), (command, ended)
    assert states(archive.root / "cameras") == before
    ended = run_main("status", "--library", str(archive.root))
    assert (ended.code, is_a_sentence(ended, file)) == (1, True), ended
