"""Every job, launched over GraphQL as nobody should: nothing but what the job lists is written, moved or removed.

The library, its state and the folders around it hold files of others, some called like ours. Each job is launched with
paths where ids, keys and names belong, in config, tags and execution metadata.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from thumb_pipeline_tests.cli.conftest import Archive, Run, let_captures_runs_end
from thumb_pipeline_tests.cli.page import LOCATION, asked, runs, try_launch
from thumb_pipeline_tests.cli.served import until, up

pytestmark = pytest.mark.daemon

KEY = "camera-1/timelapse-1"
ENDED = {"SUCCESS", "FAILURE", "CANCELED"}
PATHS = (
    "../../cameras",
    "../../../neighbour",
    "{root}/cameras",
    "..",
    "house",
    "\\..\\..",
    "a\nb",
    "%2e%2e%2f",
    "\ud83d\udcf7",
)
"""What is put where an id, a key or a name belongs; `{root}` is the library."""

FORCED = {"apply": True, "force": True, "use_trash": False}
CONFIGS: dict[str, list[dict[str, Any]]] = {
    "generate": [
        {},
        {"take_order": {"timelapses": [*PATHS], "force": True}},
        {
            "take_order": {
                "sources": ["../../timelapse-2/frames/a.jpg", "..", "a%ZZ.jpg"],
                "variants": [],
                "force": True,
            }
        },
    ],
    "new_captures": [{"follow_captures": {"changes": "../../../notes"}}],
    "generate_on_demand": [
        {"render_named": {"timelapse": "../../neighbour", "sources": ["a.jpg"], "force": True}},
        {"render_named": {"timelapse": KEY, "sources": ["../../../../neighbour/a.jpg", "a\u0000b"], "force": True}},
    ],
    "verify": [{"verify_timelapses": {"timelapses": [*PATHS]}}],
    "verify_rolling": [{"verify_oldest": {"n_bytes": 10**17, "seconds": 0.001}}],
    "statistics": [{}],
    "repair": [{"repair_library": {"timelapses": [*PATHS], "apply": True}}],
    "sweep": [{"sweep_orphans": {**FORCED, "timelapses": [*PATHS]}}, {"sweep_orphans": {**FORCED, "by_policy": True}}],
    "purge": [
        {"purge_variants": FORCED},
        {"purge_variants": {"apply": True, "use_trash": False}},
        {"purge_variants": {**FORCED, "variants": ["../frames", "frames"]}},
    ],
    "restore": [{"restore_removed": {"apply": True, "run_id": "../../cameras"}}],
    "trash": [{}],
    "forget_runs": [{}],
}
"""By job, what its ops are told; each launch also names other runs and bears tags."""

TAGS = {
    "thumb_pipeline/lease": "../../../notes@x",
    "thumb_pipeline/lane": "../../cameras",
    "thumb_pipeline/command": "../../cameras",
    "thumb_pipeline/lost": "../../cameras",
    "dagster/backfill": "../../cameras",
    "dagster/root_backfill_id": "../../cameras",
    "dagster/partition": "../../cameras",
    "dagster/priority": "99999999999999999999",
    "dagster/max_retries": "-1",
}
OTHERS = (
    "neighbour/a.jpg",
    "notes.changes.json",
    "notes.lease",
    "library/notes.changes.json",
    "library/house/order.json",
    "library/cameras/camera-1/timelapse-1/overlays/a.jpg",
    "library/cameras/camera-1/timelapse-1/thumbnails/.tp-mine.jpg",
    "library/cameras/camera-1/diary.txt",
    "library/.thumb_pipeline/plans/house/order.json",
    "library/.thumb_pipeline/leases/rent.lease",
    "library/.thumb_pipeline/trash/my-photos/a.jpg",
    "library/.thumb_pipeline/watch/notes.txt",
    "library/.thumb_pipeline-trash/my-photos/a.jpg",
)


@pytest.fixture
def page(archive: Archive, run: Run) -> Iterator[str]:
    """The address of a page over a library with everything made, and with files of others in and around it."""
    let_captures_runs_end(archive.root)
    for key in (KEY, "camera-2/timelapse-2"):
        archive.fill(3, key=key)
    assert run("generate", "--library", archive.root).code == 0
    for name in OTHERS:
        path = archive.root.parent / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"what is in {name}")
    with up(archive) as served:
        yield served.url


def jobs(url: str) -> set[str]:
    selector = "{" + ", ".join(f'{name}: "{value}"' for name, value in LOCATION.items()) + "}"
    found = asked(
        url, f"{{ repositoryOrError(repositorySelector: {selector}) {{ ... on Repository {{ jobs {{ name }} }} }} }}"
    )
    return {job["name"] for job in found["jobs"]} - {"__ASSET_JOB"}


def statuses(url: str, run_ids: list[str]) -> dict[str, str]:
    return {run["runId"]: run["status"] for run in runs(url) if run["runId"] in run_ids}


def is_over(url: str, run_ids: list[str]) -> bool:
    found = statuses(url, run_ids)
    return len(found) == len(run_ids) and set(found.values()) <= ENDED


def everything(folder: Path, root: Path) -> dict[str, str]:
    """Digest of every file in and around the library that no job may change: all but variants and our own state."""
    found = {}
    for path in folder.rglob("*"):
        name = os.fsdecode(os.fsencode(path.relative_to(folder)))
        is_ours = path.is_relative_to(root / ".thumb_pipeline") or name == "up.txt"
        if path.is_file() and (name in OTHERS or not is_ours):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def placed(value: Any, root: Path) -> Any:
    """A config with the library's folder where it says `{root}`."""
    if isinstance(value, str):
        return value.replace("{root}", str(root))
    if isinstance(value, list):
        return [placed(one, root) for one in value]
    return {name: placed(one, root) for name, one in value.items()} if isinstance(value, dict) else value


def test_no_launch_of_any_job_changes_anything_that_the_job_does_not_list(page: str, archive: Archive) -> None:
    assert jobs(page) == set(CONFIGS), "a job that is not attacked here"
    before, root = everything(archive.root.parent, archive.root), archive.root
    assert {"frames", "thumbnails", "smalls"} <= {Path(name).parent.name for name in before}
    tags = [{"key": name, "value": value} for name, value in TAGS.items()]
    launches = [(job, config) for job, configs in CONFIGS.items() for config in configs]
    run_ids = []
    for number, (job, ops) in enumerate(launches):
        config = placed(ops, root)
        other = placed(PATHS[number % len(PATHS)], root)
        metadata = {"rootRunId": other, "parentRunId": other, "tags": tags if number % 2 else []}
        run_id = try_launch(page, job, config, **metadata)
        run_ids.append(run_id or try_launch(page, job, config, tags=[]))
    known = [run_id for run_id in run_ids if run_id is not None]
    assert len(known) >= len(CONFIGS)
    for _ in range(3):  # one run of maintenance at a time: on a slow machine that is longer than others wait
        with suppress(AssertionError):
            until(lambda: is_over(page, known), "the end of all runs")
    assert is_over(page, known)
    assert everything(archive.root.parent, archive.root) == before


def test_a_partition_that_anybody_may_add_is_never_a_path(page: str, archive: Archive) -> None:
    before = everything(archive.root.parent, archive.root)
    for key in ("../../cameras", "camera-1/../..", "{root}", "camera-1/timelapse-1,camera-2/timelapse-2", "..."):
        add = f'partitionKey: {json.dumps(placed(key, archive.root))}, partitionsDefName: "timelapse"'
        selector = "{" + ", ".join(f'{name}: "{value}"' for name, value in LOCATION.items()) + "}"
        asked(page, f"mutation {{ addDynamicPartition({add}, repositorySelector: {selector}) {{ __typename }} }}")
    new = archive.add("new.jpg")
    until((archive.root / f"cameras/{KEY}/smalls/{new.name}_small.jpg").exists, "a new capture, all the same")
    now = everything(archive.root.parent, archive.root)
    assert {name: now.get(name) for name in before} == before
