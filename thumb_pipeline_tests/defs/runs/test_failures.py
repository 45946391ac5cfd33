"""Steps that meet a full disk or a closed folder: they wait and try again a few times, but not where a person waits."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from thumb_pipeline.definitions import build_definitions
from thumb_pipeline.defs.runs.failures import COMMAND_TAG
from thumb_pipeline_tests.defs.conftest import KEYS, QUIET, Located

pytestmark = pytest.mark.daemon

DELAYS = "[retries]\ndelays_s = [0.4, 0.5, 0.6]"


@pytest.fixture
def closed(located: Located) -> Iterator[Path]:
    """A timelapse's folder of smalls, which lost its files and takes no others until it is opened."""
    located.archive.settings(more=DELAYS)
    smalls = Path(located.archive.library.variants(KEYS[0]), "smalls")
    for small in smalls.iterdir():
        small.unlink()
    close(smalls)
    yield smalls
    open_again(smalls)


def close(folder: Path) -> None:
    if os.geteuid() != 0:
        folder.chmod(0o555)
    elif subprocess.run(["chattr", "+i", folder], check=False).returncode:
        pytest.skip("root writes everywhere, and no folder can be made immutable here (chattr +i)")


def open_again(folder: Path) -> None:
    subprocess.run(["chattr", "-i", folder] if os.geteuid() == 0 else ["chmod", "755", folder], check=True)


def retried_steps(result: dg.ExecuteInProcessResult) -> list[str]:
    return [event.step_key or "" for event in result.all_events if event.is_step_up_for_retry]


def test_a_run_goes_on_when_what_stood_in_its_way_is_gone(located: Located, closed: Path) -> None:
    definitions = build_definitions(library=str(located.archive.root), on_chunk=lambda _: open_again(closed))
    config = {**QUIET, "ops": {"take_order": {"config": {"force": True}}}}
    result = definitions.resolve_job_def("generate").execute_in_process(instance=located.instance, run_config=config)
    assert set(retried_steps(result)) == {"render_chunk[chunk_000]"}
    assert len(list(closed.iterdir())) == 2


def test_it_gives_up_after_the_last_delay_and_is_not_repeated_as_a_whole(located: Located, closed: Path) -> None:
    result = located.job("generate", success=False, force=True)
    assert len(retried_steps(result)) == 3
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    assert "let this user write there" in str(failed.step_failure_data.user_failure_data)
    assert "tried 4 times" in str(failed.step_failure_data.user_failure_data)
    run = located.instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags["dagster/retry_on_asset_or_op_failure"] == "false"
    assert list(closed.iterdir()) == []


def test_a_materialization_of_an_asset_waits_and_tries_again_as_well(located: Located, closed: Path) -> None:
    options = {"partition_key": KEYS[0], "success": False}
    assert len(retried_steps(located.materialize("thumbnails", **options))) == 3


def test_a_command_fails_at_once_as_its_user_is_there(located: Located, closed: Path) -> None:
    job = located._definitions.resolve_job_def("generate")
    run_id = dg.DagsterRun(job_name="generate").run_id
    result = job.execute_in_process(
        instance=located.instance,
        run_id=run_id,
        tags={COMMAND_TAG: run_id},
        run_config={**QUIET, "ops": {"take_order": {"config": {"force": True}}}},
        raise_on_error=False,
    )
    assert not result.success
    assert retried_steps(result) == []
