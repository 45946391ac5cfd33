"""What is kept of verifications that come to their end at the same time."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from thumb_pipeline.datasets.schemas import WHOLE_LIBRARY
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.rendering import accept_plan
from thumb_pipeline.stages.verification import verdicts
from thumb_pipeline.stages.verification.verify import VerifiedPart, verify
from thumb_pipeline_tests.stages.archives import KEY, Archive

pytestmark = pytest.mark.quick


def verified(archive: Archive) -> VerifiedPart:
    with archive.library.lease() as lease:
        (part,) = verify(archive.library, [KEY], lease)
    return part


@contextmanager
def while_the_lock_is_waited_for(monkeypatch: pytest.MonkeyPatch, what: object) -> Iterator[None]:
    """Somebody else does something just before a lock is got, once for each."""
    lock, waiting = Library.locked, []

    @contextmanager
    def lock_late(library: Library, path: str) -> Iterator[None]:
        if not waiting:
            waiting.append(path)
            what(path)  # type: ignore[operator]
            waiting.clear()
        with lock(library, path):
            yield

    with monkeypatch.context() as patch:
        patch.setattr(Library, "locked", lock_late)
        yield


def test_of_two_verifications_the_later_one_is_kept_whole(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.frame("a.jpg")
    archive.run()
    stray = archive.variant("a.jpg").parent / "stray.jpg"
    stray.write_bytes(b"x")
    mine = verified(archive)
    stray.rename(stray.with_name("other.jpg"))
    theirs = verified(archive)
    library = archive.library

    def keep_theirs(path: str) -> None:
        if "findings" in path:
            verdicts.keep(library, theirs)

    with while_the_lock_is_waited_for(monkeypatch, keep_theirs):
        verdicts.keep(library, mine)
    columns = [name for name in mine.findings.columns if name != "found_at"]
    assert library.findings.read([KEY])["variant_path"].to_list() == mine.findings["variant_path"].to_list()
    assert library.findings.read([KEY]).select(columns).equals(mine.findings.select(columns))
    assert library.verdicts.read([WHOLE_LIBRARY]).height == mine.verdicts.height


def test_of_two_plans_the_later_one_is_kept_whole(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.frame("a.jpg")
    mine = archive.plan()
    archive.path("a.jpg").rename(archive.path("b.jpg"))
    theirs = archive.plan()
    library = archive.library
    with while_the_lock_is_waited_for(monkeypatch, lambda path: accept_plan.keep_plan(library, theirs, [KEY])):
        accept_plan.keep_plan(library, mine, [KEY])
    assert set(library.last_plan.read([KEY])["source_name"]) == {"a.jpg"}


def test_a_source_that_is_rendered_while_its_refusal_is_forgotten_stays_recorded(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.other("a.jpg", b"no picture")
    archive.run()
    archive.path("a.jpg").unlink()
    archive.frame("b.jpg")
    gone = archive.plan()

    def come_back(path: str) -> None:
        if "manifest" in path:
            archive.frame("a.jpg")
            archive.run()

    with while_the_lock_is_waited_for(monkeypatch, come_back):
        accept_plan.record(archive.library, gone)
    rows = archive.manifest()
    assert set(rows["source_name"]) >= {"a.jpg"}
    assert set(rows["state"]) == {"made"}
