"""Sources that could not be read just now: tried again after a while, a few times, and not in between."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from thumb_pipeline.stages.captures.watch import Watch
from thumb_pipeline.stages.inventory.selection import Selection
from thumb_pipeline.stages.planning.plan import make_plan
from thumb_pipeline.stages.removal import retire_timelapses
from thumb_pipeline.stages.rendering.accept_plan import record
from thumb_pipeline.stages.rendering.chunk import render_chunk
from thumb_pipeline.stages.rendering.retries import list_notes, next_retry_at, read_due_s
from thumb_pipeline_tests.stages.archives import KEY, Archive
from thumb_pipeline_tests.stages.captures.test_follow import followed, n_rendered

pytestmark = pytest.mark.quick

AT_ONCE = "[retries]\ndelays_s = [0, 0, 0]"


def try_in_vain(archive: Archive, *, retry_failed: bool = False) -> None:
    """Plans with the file in order, and meets a link that leads nowhere in its place when it is to be read."""
    library, path = archive.library, archive.path("a.jpg")
    aside = path.with_name(".aside")
    with library.lease() as lease:
        plan = make_plan(library, Selection(retry_failed=retry_failed), lease)
        record(library, plan)
        path.rename(aside)
        path.symlink_to(path)
        result = render_chunk(library, plan.rows, lease, run_id="r")
    aside.replace(path)
    assert [reason for _, reason, _ in result.failures] == ["unreadable"]


@pytest.fixture
def refused(archive: Archive) -> Archive:
    """A library whose one source could not be read once."""
    archive.frame("a.jpg")
    try_in_vain(archive)
    return archive


def test_a_source_that_could_not_be_read_is_not_tried_again_at_once(
    refused: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/nonexistent")  # every picture is opened in a process of its own
    assert refused.run().counts == {"failed": 1}


def test_its_record_says_how_often_it_was_tried_and_when_it_will_be_again(refused: Archive) -> None:
    first, second = refused.manifest().to_dicts()
    assert (first["attempts"], second["attempts"]) == (1, 1)
    assert first["retry_at"] - first["recorded_at"] == timedelta(seconds=30)
    assert next_retry_at(refused.library, [KEY]) == min(first["retry_at"], second["retry_at"])


def test_when_its_time_has_come_it_is_tried_again_and_its_record_is_that_of_any_other(archive: Archive) -> None:
    archive.settings(more=AT_ONCE)
    archive.frame("a.jpg")
    try_in_vain(archive)
    found = archive.run()
    assert found.by_reason == {"retry": 2}
    assert found.counts == {"rendered": 2}
    assert set(archive.manifest().select("state", "attempts", "retry_at").iter_rows()) == {("made", None, None)}
    assert next_retry_at(archive.library, [KEY]) is None


def test_after_three_retries_it_stays_failed_until_it_changes(archive: Archive) -> None:
    archive.settings(more=AT_ONCE)
    archive.frame("a.jpg")
    for _ in range(4):
        try_in_vain(archive)
    assert set(archive.manifest().select("attempts", "retry_at").iter_rows()) == {(4, None)}
    assert archive.run().counts == {"failed": 1}
    archive.frame("a.jpg", size=(60, 20))
    assert archive.run().counts == {"rendered": 2}


def test_or_until_it_is_asked_for(archive: Archive) -> None:
    archive.settings(more="[retries]\ndelays_s = []")
    archive.frame("a.jpg")
    try_in_vain(archive)
    try_in_vain(archive, retry_failed=True)
    assert archive.run().counts == {"failed": 1}
    assert archive.run(retry_failed=True).counts == {"rendered": 2}


def test_a_changed_source_starts_its_series_anew(refused: Archive) -> None:
    try_in_vain(refused, retry_failed=True)
    assert set(refused.manifest()["attempts"]) == {2}
    refused.frame("a.jpg", size=(60, 20))
    try_in_vain(refused)
    assert set(refused.manifest()["attempts"]) == {1}


def test_a_source_that_vanished_meanwhile_is_due_no_more(refused: Archive) -> None:
    refused.frame("b.jpg")
    refused.path("a.jpg").unlink()
    assert refused.run().counts == {"rendered": 2}
    assert next_retry_at(refused.library, [KEY]) is None


# Those who watch come back for it


@contextmanager
def unreadable(path: Path) -> Iterator[None]:
    """A file that can be listed and not be read, by root either: over it lies one of the kernel's, for writing only."""
    if os.geteuid() != 0:
        path.chmod(0)
        try:
            yield
        finally:
            path.chmod(0o644)
        return
    mounted = subprocess.run(["mount", "--bind", "/sys/bus/platform/drivers_probe", path], check=False)
    if mounted.returncode:
        pytest.skip("root reads every file, and may not mount anything over one here")
    try:
        yield
    finally:
        subprocess.run(["umount", path], check=True)


def attempts(archive: Archive) -> set[int | None]:
    return set(archive.manifest().filter(source_name="a.jpg")["attempts"])


def test_who_follows_captures_tries_it_again_when_its_time_has_come(archive: Archive) -> None:
    archive.settings(more="[retries]\ndelays_s = [1.5]")
    archive.frame("a.jpg")
    try_in_vain(archive)
    assert n_rendered(followed(archive, linger_s=0.5)) == 0
    assert n_rendered(followed(archive, linger_s=2.5)) == 2
    assert archive.variant("a.jpg").exists()
    assert list_notes(archive.library) == {}


def test_who_follows_captures_gives_up_after_the_last_retry(archive: Archive) -> None:
    archive.settings(more="[retries]\ndelays_s = [0.3, 0.4, 0.5]")
    archive.frame("b.jpg")
    with unreadable(archive.frame("a.jpg")):
        followed(archive, linger_s=3.0)
        assert attempts(archive) == {4}
        assert list_notes(archive.library) == {}
        followed(archive, linger_s=1.0)
        assert attempts(archive) == {4}
    assert archive.variant("b.jpg").exists()


def test_a_later_watch_takes_over_what_an_earlier_one_was_waiting_for(refused: Archive) -> None:
    refused.settings(more=AT_ONCE)
    try_in_vain(refused, retry_failed=True)
    for _ in range(2):  # nobody rendered what the first one had found
        watch = Watch.begin(refused.library, set)
        watch.look(refused.library)
        assert watch.backlog[KEY] == ["a.jpg"]


def test_a_retry_that_is_due_waits_when_its_folder_is_listed_again(refused: Archive) -> None:
    refused.settings(more=AT_ONCE)
    try_in_vain(refused, retry_failed=True)
    watch = Watch.begin(refused.library, set)
    watch.look(refused.library)
    refused.frame("new.jpg")
    time.sleep(0.06)
    watch.look(refused.library)
    time.sleep(0.06)
    watch.look(refused.library)
    assert watch.backlog[KEY] == ["a.jpg", "new.jpg"]


def test_a_retry_that_nobody_can_make_is_offered_once(refused: Archive) -> None:
    refused.settings(more=AT_ONCE)
    try_in_vain(refused, retry_failed=True)
    refused.path("a.jpg").unlink()
    watch = Watch.begin(refused.library, set)
    found = []
    for _ in range(3):
        watch.look(refused.library)
        batch = watch.take(10)
        watch.settle(refused.library, batch)
        found.append(batch)
        time.sleep(0.06)
    assert [KEY in batch for batch in found] == [True, False, False]


def test_a_timelapse_that_is_gone_leaves_no_note(refused: Archive) -> None:
    assert list(list_notes(refused.library)) == [KEY]
    retire_timelapses.forget(refused.library, KEY)
    assert list_notes(refused.library) == {}


def test_looking_for_retries_asks_no_manifest_before_one_is_due(
    refused: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch.begin(refused.library, set)
    watch.look(refused.library)
    time.sleep(0.06)
    watch.look(refused.library)
    monkeypatch.setattr(
        "thumb_pipeline.stages.captures.due_retries.retries_of", lambda *asked: pytest.fail(f"asked: {asked}")
    )
    watch.look(refused.library)
    assert watch.n_waiting == 0


NOTES = [b"", b"nan", b"inf", b"-inf", b"1e400", b"1e300", b"soon", b"\xff\xfe", b"1" * 100_000, b"[1]", b"0x10"]


@pytest.mark.parametrize("written", NOTES, ids=lambda written: ascii(written[:8]))
def test_a_note_of_any_content_has_the_manifest_asked_at_once(refused: Archive, written: bytes) -> None:
    (note,) = (Path(refused.library.watch) / "retries").glob("camera-*")
    note.write_bytes(written)
    assert read_due_s(refused.library, KEY) <= 0.0
    watch = Watch.begin(refused.library, set)
    watch.look(refused.library)
    assert watch.trouble == {}


@pytest.mark.parametrize("kind", ["folder", "pipe", "link to nothing"])
def test_what_is_no_note_stops_no_other(refused: Archive, kind: str) -> None:
    folder = Path(refused.library.watch) / "retries"
    (note,) = folder.glob("camera-*")
    note.unlink()
    make = {"folder": Path.mkdir, "pipe": os.mkfifo, "link to nothing": lambda path: path.symlink_to("not there")}[kind]
    make(note)
    for name in ("..", "...+x", "camera-1", "camera-1+timelapse-1+x", "\udcff"):
        (folder / name).mkdir(exist_ok=True)
    assert list(list_notes(refused.library)) == [KEY]
    watch = Watch.begin(refused.library, set)
    watch.look(refused.library)
    try_in_vain(refused, retry_failed=True)
    retire_timelapses.forget(refused.library, KEY)
    assert (folder / "camera-1").is_dir()
