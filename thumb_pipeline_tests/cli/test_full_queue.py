"""A queue with more work in bulk than may run at once, and new frames: who goes first, and how many at a time."""

import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, Self

import pytest

from thumb_pipeline_tests.cli.conftest import Archive, Run, copied, is_rendered, let_captures_runs_end
from thumb_pipeline_tests.cli.heavy_library import KEYS, rendered_library
from thumb_pipeline_tests.cli.page import FORCE, launch, launch_backfill, partitions, runs, statuses
from thumb_pipeline_tests.cli.served import until, up

pytestmark = [pytest.mark.daemon, pytest.mark.usefixtures("storage")]

LIMITS = {"on_demand": 2, "captures": 2, "regeneration": 2, "maintenance": 1}
"""As docs/letting-it-run.md promises them; runs of backfills share those of regeneration."""

N_BULK = 8
"""Runs of `generate`: more than are done by the time the new frames are."""

N_NEW = 6
"""New frames at most, one after the other, until one of them got a run."""

N_ENDED = 4
"""Runs of several lanes."""


def lane(run: dict[str, Any]) -> str:
    """The lane a run takes a place of, whether it bears the tag yet or not."""
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    return "regeneration" if "dagster/backfill" in tags else str(tags["thumb_pipeline/lane"])


class Sampled:
    """How many runs of each lane were at work at once, at most, and what waited while a capture was rendered."""

    def __init__(self, url: str) -> None:
        self.most: Counter[str] = Counter()
        self.n_most = 0
        self._url = url
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._is_over.wait(0.2):
            at_work = Counter(lane(run) for run in runs(self._url, "STARTED"))
            self.most |= at_work
            self.n_most = max(self.n_most, at_work.total())


@pytest.fixture(scope="module")
def rendered(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Everything is made, and takes some seconds to make again; the run for captures does not stay."""
    archive = rendered_library(tmp_path_factory.mktemp("rendered") / "library", run, 12)
    let_captures_runs_end(archive.root, linger_s=30.0)
    return archive


@pytest.fixture
def busy(rendered: Archive, tmp_path: Path) -> Archive:
    return copied(rendered, tmp_path / "library")


def test_a_new_frame_gets_a_run_while_bulk_waits_and_no_lane_takes_more_than_its_places(
    busy: Archive, run: Run
) -> None:
    with up(busy) as page:
        url = page.url
        until(lambda: set(partitions(url)) == set(KEYS), "the code, loaded")
        with Sampled(url) as sampled:
            backfill = launch_backfill(url, KEYS, FORCE)
            until(lambda: runs(url, backfill=backfill), "the backfill's run")
            bulk = [launch(url, "generate", {"take_order": {"force": True}}) for _ in range(N_BULK)]
            bulk += [launch(url, "verify", {"verify_timelapses": {"deep": True}}) for _ in range(3)]
            until(lambda: len(runs(url, "STARTED")) >= LIMITS["regeneration"], "the places of bulk, taken")
            n_new = 0
            while not sampled.most["captures"]:  # a run in bulk that begins just now may take a frame with it
                assert n_new < N_NEW, "no frame got a run for captures"
                frame = busy.add(f"new-{n_new}.jpg")
                until(lambda frame=frame: is_rendered(frame), "the new frame")
                time.sleep(1.0)
                n_new += 1
            waiting = [one["runId"] for one in runs(url, "QUEUED")]
            assert set(waiting) & set(bulk), "nothing had to wait any more"
            until(lambda: len(runs(url, "SUCCESS")) >= N_ENDED, "places that were left and taken again")
        until(lambda: run("cancel", "--all", "--library", busy.root).code == 0, "the end of all")
        assert all(n <= LIMITS[lane] for lane, n in sampled.most.items()), sampled.most
        assert sampled.most.keys() >= {"captures", "regeneration", "maintenance"}
        assert sampled.most["regeneration"] == LIMITS["regeneration"]
        assert sampled.n_most <= 7
        assert set(statuses(url)) == {"SUCCESS", "CANCELED"}
