"""Settings that change while frames keep coming, on a real `up`: to others, to unusable ones, and back."""

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from thumb_pipeline_tests.cli.conftest import Archive, Run
from thumb_pipeline_tests.cli.page import asked
from thumb_pipeline_tests.cli.served import until, up

pytestmark = [pytest.mark.daemon, pytest.mark.usefixtures("storage")]

KEYS = ("camera-1/timelapse-1", "camera-2/timelapse-2")
TINY = '\n[variants.tiny]\nfolder = "tinies"\ntag = "tiny"\nmax_width_px = 40\nmax_height_px = 30\n'
EVERY_S = 0.5


class Cameras:
    """Two cameras that write a frame each, again and again."""

    def __init__(self, archive: Archive) -> None:
        self.written: list[Path] = []
        self._archive = archive
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def _write(self) -> None:
        for number in itertools.count():
            if self._stopped.wait(EVERY_S):
                return
            self.written.append(self._archive.add(f"{number:04d}.jpg", key=KEYS[number % 2]))

    @contextmanager
    def at_work(self) -> Iterator["Cameras"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._stopped.set()
            self._thread.join()

    def next_frame(self) -> Path:
        """A frame of which nothing was there when this was called."""
        n_before = len(self.written)
        until(lambda: len(self.written) > n_before, "a camera")
        return self.written[n_before]


def made(frame: Path, variant: str) -> Path:
    folder, tag = {"small": ("smalls", "small"), "tiny": ("tinies", "tiny")}[variant]
    return frame.parents[1] / folder / f"{frame.name}_{tag}.jpg"


def settings_check(url: str) -> str:
    """How the UI shows the check `settings`: a status and what it says."""
    query = """{ assetCheckExecutions(
        assetKey: {path: ["verification_report"]}, checkName: "settings", limit: 1
    ) { status evaluation { description severity } } }"""
    found = asked(url, query)
    return f"{found[0]['status']} {found[0]['evaluation']}" if found else ""


def test_every_frame_ends_up_with_the_variants_of_the_last_valid_settings(restless: Archive, run: Run) -> None:
    path = restless.root / "thumbs.toml"
    first = path.read_text()
    second = first.replace('variants = ["thumbnail", "small"]', 'variants = ["small", "tiny"]', 1) + TINY
    assert "tiny" in second
    assert '["small", "tiny"]' in second
    with up(restless) as page, Cameras(restless).at_work() as cameras:
        frame = cameras.next_frame()
        until(made(frame, "small").exists, "a frame by the first settings")

        path.write_text(second)
        time.sleep(1.5)  # the file stands still
        frame = cameras.next_frame()
        until(made(frame, "tiny").exists, "a frame by the second settings")

        path.write_text(second[: len(second) // 2] + "\nzzz = ")
        time.sleep(1.5)
        frame = cameras.next_frame()
        until(made(frame, "tiny").exists, "a frame while the file cannot be used, by the second settings still")
        status = run("status", "--library", restless.root)
        assert status.code == 0
        assert status.out.startswith(f"{path} is not TOML")
        assert "stay in force" in status.out.splitlines()[1]
        assert run("status", "--library", restless.root, "--json").json["settings"]["faults"]
        assert run("generate", "--library", restless.root).code == 2
        until(lambda: "FAILED" in settings_check(page.url), "the check in the UI")
        assert "WARN" in settings_check(page.url)

        path.write_text(first)
        time.sleep(1.5)
        frame = cameras.next_frame()
        until((frame.parents[1] / "thumbnails" / f"{frame.name}_thumb.jpg").exists, "a frame by the first ones again")
        until(lambda: "SUCCEEDED" in settings_check(page.url), "the check in the UI, green again")
    assert run("status", "--library", restless.root, "--json").json["settings"] is None
    assert run("generate", "--library", restless.root).code == 0
    for frame in cameras.written:
        assert made(frame, "small").exists()
        assert (frame.parents[1] / "thumbnails" / f"{frame.name}_thumb.jpg").exists()
    assert run("plan", "--library", restless.root, "--json").json["variants"] == 0
    assert restless.leftovers() == []


def test_up_starts_with_the_last_valid_settings_and_says_so(restless: Archive, run: Run) -> None:
    path = restless.root / "thumbs.toml"
    valid = path.read_text()
    assert run("plan", "--library", restless.root).code == 0
    path.write_text("zzz = 1\n" + valid)
    with up(restless):
        frame = restless.add("a.jpg")
        until(made(frame, "small").exists, "a frame by the last valid settings")
        assert run("cancel", "--all", "--library", restless.root).code in (0, 1)
