"""Sources that could not be read just now: tried again after a while, a few times, and not in between."""

from datetime import timedelta

import pytest

from thumb_pipeline.stages.plan import make_plan
from thumb_pipeline.stages.recording import record
from thumb_pipeline.stages.render import render_chunk
from thumb_pipeline.stages.retries import next_retry_at
from thumb_pipeline.stages.selection import Selection
from thumb_pipeline_tests.stages.archives import KEY, Archive

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
