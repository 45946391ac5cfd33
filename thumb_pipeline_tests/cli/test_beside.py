"""New captures and pictures on demand beside work in bulk over the same timelapse, with `up` as it comes."""

import io
import os
import time
from pathlib import Path

import pytest
from PIL import Image

from thumb_pipeline_tests.cli.conftest import Archive, Run, copied, is_rendered, variants_of
from thumb_pipeline_tests.cli.page import FORCE, launch, launch_backfill, partitions, runs, status, statuses
from thumb_pipeline_tests.cli.served import until, up

pytestmark = [pytest.mark.daemon, pytest.mark.usefixtures("storage")]

KEY = "camera-1/timelapse-1"
N_OLD = 360
N_NEW = 6
DONE_WITHIN_S = 9.0


def large_jpeg() -> bytes:
    """A frame whose variants take a while."""
    buffer = io.BytesIO()
    Image.effect_noise((2400, 1800), 80).convert("RGB").save(buffer, "JPEG", quality=70)
    return buffer.getvalue()


def n_recorded(run: Run, archive: Archive, run_ids: list[str]) -> int:
    """How many variants these runs have made and recorded so far, as `status` tells."""
    found = run("status", "--library", archive.root, "--json").json["runs"]
    return sum(live["progress"]["n_done"] for live in found if live["run_id"] in run_ids and live["progress"])


class Watched:
    """New captures, and how long each took from `close()` to both variants."""

    def __init__(self, archive: Archive) -> None:
        self.frames: list[Path] = []
        self.took_s: list[float] = []
        self._archive = archive

    def add(self) -> None:
        """The next one, which is waited for."""
        frame, closed_s = self._archive.add(f"new-{len(self.frames)}.jpg"), time.monotonic()
        self.frames.append(frame)
        until(lambda: is_rendered(frame), "the new capture")
        self.took_s.append(time.monotonic() - closed_s)


@pytest.fixture(scope="module")
def old_frames(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """A timelapse with its variants, whose regeneration takes a while."""
    template = Archive(tmp_path_factory.mktemp("old") / "library")
    assert run("init", template.root).code == 0
    first = template.add("old-000.jpg", large_jpeg())
    for number in range(1, N_OLD):
        os.link(first, first.with_name(f"old-{number:03d}.jpg"))
    assert run("generate", "--library", template.root).code == 0
    return template


def test_captures_and_pictures_on_demand_do_not_wait_for_work_in_bulk_which_advances(
    old_frames: Archive, tmp_path: Path, run: Run
) -> None:
    archive = copied(old_frames, tmp_path / "library")
    old = sorted(archive.frames().iterdir())
    before_ns, new = time.time_ns(), Watched(archive)
    with up(archive) as page:
        url = page.url
        until(lambda: statuses(url, job="new_captures") == ["STARTED"], "the run that waits for captures")
        until(lambda: partitions(url), "the code, loaded")
        backfill = launch_backfill(url, [KEY], FORCE)
        until(lambda: runs(url, "STARTED", backfill=backfill), "the backfill's run")
        bulk = [runs(url, backfill=backfill)[0]["runId"], launch(url, "generate", {"take_order": {"force": True}})]
        until(
            lambda: [status(url, one) for one in bulk] == ["STARTED"] * 2,
            "both runs in bulk: all that their pool takes",
        )
        until(lambda: n_recorded(run, archive, bulk) > 0, "a first part of the bulk")

        named = {"timelapse": KEY, "sources": [old[0].name], "force": True}
        wanted = launch(url, "generate_on_demand", {"render_named": named})
        new.add()
        n_before = n_recorded(run, archive, bulk)
        for _ in range(N_NEW - 1):
            new.add()
            time.sleep(1.0)
        until(lambda: status(url, wanted) == "SUCCESS", "the picture on demand")
        n_after = n_recorded(run, archive, bulk)
        assert "STARTED" in [status(url, one) for one in bulk], "captures and demand waited for the bulk"
        assert n_after > n_before, "the bulk stood still"
        assert max(new.took_s) <= DONE_WITHIN_S, new.took_s
        until(lambda: [status(url, one) for one in bulk] == ["SUCCESS"] * 2, "the end of the bulk")
    rendered = [variant for frame in [*old, *new.frames] for variant in variants_of(frame)]
    assert all(variant.stat().st_mtime_ns > before_ns for variant in rendered)
    verified = run("verify", "--library", archive.root, "--json")
    assert verified.json["valid"] == 2 * (N_OLD + N_NEW), verified.out
    assert archive.leftovers() == []
