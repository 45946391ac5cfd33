from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from thumb_pipeline_tests.cli.conftest import Archive, Run

pytestmark = pytest.mark.daemon

NAME = "timelapse-1_20250422_000000.jpg"
DONE = {
    "orphaned_files_found": 2,
    "files_matched": 2,
    "files_unmatched": 0,
    "files_deleted": 0,
    "records_updated": 4,
    "timelapses_affected": 1,
}


@pytest.fixture
def renamed(archive: Archive, run: Run) -> Archive:
    """A generated library of twelve frames, one of them renamed since."""
    archive.fill(12)
    assert run("generate", "--library", archive.root).code == 0
    frame = archive.frames() / NAME
    frame.rename(frame.with_name("first.jpg"))
    return archive


@pytest.fixture
def repair(run: Run, renamed: Archive) -> Any:
    return lambda *options: run("repair", "--library", renamed.root, *options)


def variants(archive: Archive) -> set[str]:
    return {Path(path).name for path in archive.variants()}


def test_a_dry_run_prints_the_numbers_that_the_repair_then_reaches(repair: Any, renamed: Archive, run: Run) -> None:
    before = variants(renamed)
    planned = repair("--json")
    assert (planned.code, planned.json) == (0, DONE), planned.err
    assert variants(renamed) == before
    done = repair("--json", "--apply")
    assert (done.code, done.json) == (0, DONE), done.err
    assert {"first.jpg_thumb.jpg", "first.jpg_small.jpg"} <= variants(renamed)
    assert len(variants(renamed)) == len(before)
    assert run("verify", "--library", renamed.root).code == 0
    again = repair("--json", "--apply")
    assert (again.code, set(again.json.values())) == (0, {0})


def test_in_words_it_says_what_to_do_next(repair: Any) -> None:
    said = repair()
    assert "2 files that nothing expects: 2 to be moved to their place" in said.out
    assert "repair --apply" in said.err


def test_what_is_left_for_others_is_an_exit_code_and_a_command(repair: Any, renamed: Archive) -> None:
    (renamed.frames() / "first.jpg").unlink()
    next(renamed.root.glob("cameras/*/*/smalls/timelapse-1_small_20250422_000100.jpg")).unlink()
    done = repair("--apply")
    assert done.code == 1
    assert "2 unmatched" in done.out
    assert "1 variant still to be made: thumb-pipeline generate" in done.err


def test_a_listing_that_is_not_believed_is_refused_with_either_option(repair: Any, renamed: Archive) -> None:
    for frame in list(renamed.frames().iterdir())[:10]:
        frame.unlink()
    for options in ((), ("--apply",)):
        refused = repair(*options)
        assert refused.code == 2
        assert "--accept-shrink" in refused.err
    assert repair("--apply", "--accept-shrink").code == 1


def test_the_run_is_in_the_instance_behind_new_captures(repair: Any, renamed: Archive) -> None:
    repair("--apply")
    with dg.DagsterInstance.from_config(str(renamed.root / ".thumb_pipeline/dagster")) as instance:
        runs = instance.get_runs(dg.RunsFilter(job_name="repair"))
    assert [(run.status, run.tags["dagster/priority"]) for run in runs] == [(dg.DagsterRunStatus.SUCCESS, "-10")]


def test_a_dry_run_with_sweep_says_what_would_be_removed_and_how(repair: Any, renamed: Archive) -> None:
    unmatched = Path(next(iter(renamed.variants()))).parent / "foreign.txt"
    (renamed.root / unmatched).write_text("nobody's")
    said = repair("--sweep")
    assert "1 file (8 B) to be removed: they go to" in said.err
    assert "to do it: thumb-pipeline repair --sweep --apply" in said.err
    assert repair("--sweep", "--json").json["files_deleted"] == 1
    assert (renamed.root / unmatched).exists()
