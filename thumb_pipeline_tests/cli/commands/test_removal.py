import os
import pty
import shutil
import subprocess

import dagster as dg
import pytest

from thumb_pipeline_tests.cli.conftest import COMMAND, Archive, Ended, Run, clean_environment

pytestmark = pytest.mark.daemon

REMOVAL_KEYS = {"run_id", "planned", "removed", "kept", "n_bytes", "trash"}
FIRST = "timelapse-1_20250422_000000.jpg"


@pytest.fixture
def library(archive: Archive, run: Run) -> Archive:
    """A generated library of four sources, of which one was deleted."""
    archive.fill(4)
    assert run("generate", "--library", archive.root).code == 0
    (archive.frames() / FIRST).unlink()
    return archive


def runs(archive: Archive) -> list[dg.DagsterRun]:
    with dg.DagsterInstance.from_config(str(archive.root / ".thumb_pipeline/dagster")) as instance:
        return list(instance.get_runs())


def test_a_sweep_is_planned_carried_out_listed_and_undone(library: Archive, run: Run) -> None:
    before = library.variants()
    dry = run("sweep", "--library", library.root, "--json")
    assert (dry.code, dry.json.keys()) == (0, REMOVAL_KEYS)
    assert (dry.json["planned"], dry.json["removed"], dry.json["trash"]) == (2, 0, None)
    assert library.variants() == before
    assert len(runs(library)) == 1  # that of generate

    done = run("sweep", "--library", library.root, "--json", "--apply")
    assert (done.code, done.json.keys()) == (0, REMOVAL_KEYS)
    assert (done.json["planned"], done.json["removed"], done.json["kept"]) == (2, 2, 0)
    assert done.json["n_bytes"] == dry.json["n_bytes"]
    assert os.path.isdir(done.json["trash"])
    assert len(library.variants()) == 6
    assert run("verify", "--library", library.root, "--json").code == 0
    newest = runs(library)[0]
    assert (newest.run_id, newest.job_name, newest.tags["dagster/priority"]) == (done.json["run_id"], "sweep", "-10")
    assert newest.status is dg.DagsterRunStatus.SUCCESS

    [entry] = run("trash", "--library", library.root, "--json").json["entries"]
    assert (entry["run_id"], entry["n_files"]) == (done.json["run_id"], 2)
    back = run("restore", "--library", library.root, done.json["run_id"], "--json")
    assert back.code == 0
    assert back.json == {
        "run_id": done.json["run_id"],
        "restored": 2,
        "kept": 0,
        "n_bytes": done.json["n_bytes"],
    }
    assert library.variants() == before
    assert run("restore", "--library", library.root, done.json["run_id"]).code == 2


def test_the_plan_is_printed_alike_in_both_cases(library: Archive, run: Run) -> None:
    dry = run("sweep", "--library", library.root).out.splitlines()
    done = run("sweep", "--library", library.root, "--apply").out.splitlines()
    plan = dry.index(next(line for line in dry if line.startswith("they go to")))
    assert dry[: plan + 1] == done[: plan + 1]
    assert any("no space is freed" in line for line in done)


def test_a_brake_refuses_and_force_overrules_it_and_the_run_says_so(library: Archive, run: Run) -> None:
    for path in library.frames().iterdir():
        path.unlink()
    before = library.variants()
    dry = run("sweep", "--library", library.root, "--json")
    assert (dry.code, dry.json["planned"]) == (0, 8)
    assert "--apply would be refused" in dry.err
    refused = run("sweep", "--library", library.root, "--apply", "--json")
    assert (refused.code, refused.out) == (2, "")
    assert "4 sources recorded, 0 found" in refused.err
    assert "--force" in refused.err
    assert library.variants() == before
    forced = run("sweep", "--library", library.root, "--apply", "--json", "--force")
    assert (forced.code, forced.json["removed"]) == (0, 8)
    assert runs(library)[0].tags["thumb_pipeline/forced"] == "true"
    journal = library.root / ".thumb_pipeline/trash" / forced.json["run_id"] / "operation.json"
    assert '"forced": true' in journal.read_text()


def test_what_is_kept_is_exit_code_1_with_the_reason(library: Archive, run: Run) -> None:
    done = run("sweep", "--library", library.root, "--apply", "--json")
    folder = library.frames().parent / "smalls"
    (folder / "timelapse-1_small_20250422_000000.jpg").write_bytes(b"in the way")
    back = run("restore", "--library", library.root, done.json["run_id"], "--json")
    assert (back.code, back.json["restored"], back.json["kept"]) == (1, 1, 1)
    assert "1 file kept: blocked by another file" in back.err


def test_a_purge_needs_a_yes_where_there_is_no_terminal(library: Archive, run: Run) -> None:
    before = library.variants()
    refused = run("purge", "--library", library.root, "--apply")
    assert refused.code == 2
    assert "repeat with --yes; nothing was changed" in refused.err
    assert library.variants() == before
    done = run("purge", "--library", library.root, "--apply", "--yes", "--json")
    assert (done.code, done.json["removed"], library.variants()) == (0, 8, {})
    assert run("generate", "--library", library.root, "--json").json["rendered"] == 6


@pytest.mark.parametrize(("answer", "code"), [("yes\n", 0), ("y\n", 2), ("\n", 2)])
def test_a_purge_asks_on_a_terminal(library: Archive, answer: str, code: int) -> None:
    ended = on_a_terminal(["purge", "--library", str(library.root), "--apply", "--json"], answer)
    assert ended.code == code, ended.err
    assert "type yes to remove 8 variant files" in ended.err
    assert (library.variants() == {}) is (code == 0)


def on_a_terminal(arguments: list[str], answer: str) -> Ended:
    """A command whose standard input is a terminal at which somebody types."""
    ours, theirs = pty.openpty()
    try:
        os.write(ours, answer.encode())
        ended = subprocess.run(
            [COMMAND, *arguments], stdin=theirs, capture_output=True, env=clean_environment(), timeout=120, check=False
        )
    finally:
        os.close(ours)
        os.close(theirs)
    return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())


def test_the_trash_is_emptied_by_name_after_a_yes(library: Archive, run: Run) -> None:
    run_id = run("sweep", "--library", library.root, "--apply", "--json").json["run_id"]
    assert run("trash", "--library", library.root, "--empty", run_id).code == 2
    assert run("trash", "--library", library.root, "--empty", "another", "--yes").code == 2
    assert run("trash", "--library", library.root, run_id).code == 2
    assert run("trash", "--library", library.root, "--expired", "--json").json["emptied"] == []
    emptied = run("trash", "--library", library.root, "--empty", run_id, "--yes", "--json").json
    assert (emptied["emptied"], emptied["entries"]) == ([run_id], [])
    assert emptied["freed_n_bytes"] > 0
    assert not (library.root / ".thumb_pipeline-trash").exists()
    assert "no run in the trash" in run("restore", "--library", library.root, run_id).err


def test_a_library_without_its_settings_is_refused_also_with_force(library: Archive, run: Run) -> None:
    (library.root / "thumbs.toml").unlink()
    for command in (["sweep"], ["purge", "--yes"]):
        refused = run(*command, "--library", library.root, "--apply", "--force")
        assert refused.code == 2
        assert "thumbs.toml is absent" in refused.err
    assert len(library.variants()) == 8


def test_a_timelapse_of_which_nothing_is_left_has_the_keys_of_the_others(library: Archive, run: Run) -> None:
    shutil.rmtree(library.frames().parent)
    assert run("sweep", "--library", library.root, "--apply", "--force").code == 0
    [found] = run("verify", "--library", library.root, "--json").json["by_timelapse"].values()
    assert found["small_count"] == found["thumbnail_count"] == {"recorded": 0, "found": 0}


def test_a_sweep_says_what_it_leaves_to_a_change_of_policy(library: Archive, run: Run) -> None:
    settings = library.root / "thumbs.toml"
    settings.write_text(
        settings.read_text().replace('\nvariants = ["thumbnail", "small"]', '\nvariants = ["thumbnail"]')
    )
    said = run("sweep", "--library", library.root)
    assert "3 files of existing frames stay, which no policy asks for any more" in said.err
    assert "thumb-pipeline sweep --policy" in said.err


def test_what_latest_only_made_superfluous_goes_with_a_word_of_its_own_however_much_it_is(
    archive: Archive, run: Run
) -> None:
    archive.fill(30)
    assert run("generate", "--library", archive.root).code == 0
    before = archive.variants()
    settings = archive.root / "thumbs.toml"
    settings.write_text(
        settings.read_text().replace('small_generation_mode = "all"', 'small_generation_mode = "latest_only"')
    )
    assert run("sweep", "--library", archive.root, "--apply", "--json").json["removed"] == 0
    dry = run("sweep", "--library", archive.root, "--policy", "--json")
    assert (dry.code, dry.json["planned"], archive.variants() == before) == (0, 29, True), dry.err
    swept = run("sweep", "--library", archive.root, "--policy", "--apply", "--json")
    assert (swept.code, swept.json["removed"]) == (0, 29), swept.err
    assert len(archive.variants()) == 31
    assert run("restore", "--library", archive.root, swept.json["run_id"]).code == 0
    assert archive.variants() == before


def test_the_word_for_policies_overrules_no_brake_on_other_files(library: Archive, run: Run) -> None:
    for number in range(25):
        (library.frames().parent / "smalls" / f"foreign-{number}.txt").write_text("somebody's")
    refused = run("sweep", "--library", library.root, "--policy", "--apply")
    assert refused.code == 2
    assert "more than is believable" in refused.err


@pytest.mark.parametrize(
    ("command", "removed"), [(["purge", "--yes", "--no-trash"], 8), (["sweep", "--force", "--no-trash"], 2)]
)
def test_a_command_that_deletes_for_good_hands_on_the_number_that_it_has_shown(
    library: Archive, run: Run, command: list[str], removed: int
) -> None:
    done = run(*command, "--library", library.root, "--apply", "--json")
    assert (done.code, done.json["removed"], done.json["trash"]) == (0, removed, None)
    [given] = runs(library)[0].run_config["ops"].values()
    assert given["config"]["expected_files"] == removed
