"""No single request deletes a library for good: where no brake stands, the plan's own number has to be known."""

import pytest

from thumb_pipeline.domain.removals import Operation, must_be_counted
from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline.stages.removal.carry_out import Removed
from thumb_pipeline_tests.stages.archives import Archive
from thumb_pipeline_tests.stages.removals import in_trash, planned, purged, removed, swept

pytestmark = pytest.mark.quick

FOR_GOOD = {"use_trash": False}
FORCED = {"use_trash": False, "force": True}


@pytest.fixture
def orphaned(done: Archive) -> Archive:
    """A generated library of two sources, of which one was deleted."""
    done.path("a.jpg").unlink()
    return done


def refused(archive: Archive, operation: Operation, **wish: object) -> str:
    """Why a removal is refused, having changed nothing."""
    before, records = archive.variant_files(), archive.manifest().height
    with pytest.raises(Refused) as why:
        removed(archive, operation, **wish)
    assert (archive.variant_files(), archive.manifest().height) == (before, records)
    assert in_trash(archive) == set()
    return str(why.value)


@pytest.mark.parametrize(
    ("operation", "is_forced", "is_for_good", "expected"),
    [
        (Operation.SWEEP, False, False, False),
        (Operation.SWEEP, False, True, False),  # its brakes stand
        (Operation.SWEEP, True, False, False),  # it can be restored
        (Operation.SWEEP, True, True, True),
        (Operation.PURGE, False, False, False),
        (Operation.PURGE, False, True, True),  # it has no brake on its size
        (Operation.PURGE, True, False, False),
        (Operation.PURGE, True, True, True),
    ],
)
def test_the_number_is_needed_where_neither_a_brake_nor_a_trash_stands(
    operation: Operation, is_forced: bool, is_for_good: bool, expected: bool
) -> None:
    assert must_be_counted(operation, is_forced=is_forced, is_for_good=is_for_good) is expected


@pytest.mark.parametrize(
    ("operation", "wish"),
    [(Operation.PURGE, FOR_GOOD), (Operation.PURGE, FORCED), (Operation.SWEEP, FORCED)],
)
def test_without_the_number_it_is_refused_and_the_words_have_it(
    orphaned: Archive, operation: Operation, wish: dict[str, object]
) -> None:
    n_files = planned(orphaned, operation, **wish).files.height
    assert n_files == (2 if operation is Operation.SWEEP else 4)
    said = refused(orphaned, operation, **wish)
    assert f"takes {n_files} files now, and expected_files is not given" in said
    assert f"Look at a dry run of it; if that is what you want, repeat with expected_files: {n_files}" in said
    assert removed(orphaned, operation, **wish, expected_files=n_files).n_removed == n_files


@pytest.mark.parametrize(("operation", "wish"), [(Operation.PURGE, {}), (Operation.SWEEP, FOR_GOOD)])
def test_where_something_else_stands_in_the_way_it_is_not_needed(
    orphaned: Archive, operation: Operation, wish: dict[str, object]
) -> None:
    assert removed(orphaned, operation, **wish).n_removed > 0


@pytest.mark.parametrize("number", [-4, -1, 0, 3, 5, 10**30, -(10**30)])
@pytest.mark.parametrize("wish", [{}, FOR_GOOD, FORCED])
def test_another_number_is_refused_also_where_none_was_needed(
    done: Archive, number: int, wish: dict[str, object]
) -> None:
    said = refused(done, Operation.PURGE, **wish, expected_files=number)
    assert f"takes 4 files now, and expected_files is {number};" in said


def test_a_number_that_changed_between_plan_and_run_is_refused(done: Archive) -> None:
    shown = planned(done, Operation.PURGE, **FOR_GOOD).files.height
    done.frame("new.jpg", color=9)
    done.run()
    assert "takes 6 files now, and expected_files is 4;" in refused(
        done, Operation.PURGE, **FOR_GOOD, expected_files=shown
    )


def test_nothing_to_remove_is_a_number_too(archive: Archive) -> None:
    archive.frame("a.jpg")
    assert "takes 0 files now" in refused(archive, Operation.PURGE, **FOR_GOOD)
    nothing: Removed = purged(archive, **FOR_GOOD, expected_files=0)
    assert (nothing.n_planned, nothing.n_removed) == (0, 0)


def test_a_trash_that_keeps_nothing_is_none(done: Archive) -> None:
    done.settings(more="[trash]\nkeep_days = 0.0")
    assert "is required to delete for good" in refused(done, Operation.PURGE)
    assert purged(done, expected_files=4).n_removed == 4


def test_a_brake_speaks_before_the_number(orphaned: Archive) -> None:
    orphaned.path("b.jpg").unlink()
    assert "sources recorded" in refused(orphaned, Operation.SWEEP, **FOR_GOOD, expected_files=1)
    assert swept(orphaned, **FORCED, expected_files=4).n_removed == 4
