"""What tests of stopped runs share: pictures that take long, and how a run that was stopped must have ended."""

import io
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import dagster as dg
from PIL import Image

from thumb_pipeline_tests.cli.conftest import Archive, Run, dagster_instance
from thumb_pipeline_tests.cli.served import held_leases, lease_holders

STOPS_WITHIN_S = 5.0


def slow_png(width_thousand_px: int) -> bytes:
    """A PNG decoder cannot shrink while it loads: 64 MP are seconds of work."""
    noise = Image.effect_noise((1000, 1000), 60).convert("RGB")
    large = Image.new("RGB", (1000 * width_thousand_px, 1000 * width_thousand_px))
    for x in range(width_thousand_px):
        for y in range(width_thousand_px):
            large.paste(noise, (x * 1000, y * 1000))
    buffer = io.BytesIO()
    large.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def n_leases(archive: Archive) -> int:
    """How many leases of this library are held: a run holds one to its end, and one for what it renders."""
    return len(set().union(*held_leases(archive).values()))


def assert_stopped_in_time(archive: Archive, run_ids: list[str]) -> None:
    """Each run was cancelled within five seconds, as Dagster's own events tell, and nobody works for one any more."""
    assert run_ids
    for run_id in run_ids:
        asked_s, ended_s = moments_of_stop(archive, run_id)
        assert 0.0 <= ended_s - asked_s <= STOPS_WITHIN_S
        assert_nobody_at_work(archive, asked_s)


def assert_nobody_at_work(archive: Archive, asked_s: float) -> None:
    """Five seconds after the stop at the latest; a worker that is just being started ends when it reads its orders."""
    while (holders := lease_holders(archive)) and time.time() < asked_s + STOPS_WITHIN_S:
        time.sleep(0.05)
    assert holders == []


def moments_of_stop(archive: Archive, run_id: str) -> tuple[float, float]:
    """When a run was asked to stop, and when it was cancelled."""
    kinds = (dg.DagsterEventType.RUN_CANCELING, dg.DagsterEventType.RUN_CANCELED)
    with dagster_instance(archive) as instance:
        asked, ended = (instance.get_records_for_run(run_id, of_type=kind, ascending=True).records for kind in kinds)
    return asked[0].timestamp, ended[-1].timestamp


def status(run: Run, archive: Archive) -> Any:
    return run("status", "--library", archive.root, "--json").json


def statuses(archive: Archive) -> list[str]:
    if not (archive.root / ".thumb_pipeline/dagster/dagster.yaml").exists():
        return []
    with dagster_instance(archive) as instance:
        return [found.status.value for found in instance.get_runs()]


@contextmanager
def standing_still(archive: Archive) -> Iterator[None]:
    """Halts the run and its workers where they are, so that a stop meets them there however fast they are."""
    pids = [int(pid) for pid in lease_holders(archive)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):  # whoever goes on first may have ended the others already
                os.kill(pid, signal.SIGCONT)
