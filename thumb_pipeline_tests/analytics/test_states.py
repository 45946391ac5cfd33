"""One test a state, and which of several wins."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from thumb_pipeline.analytics.states import records, variant_states
from thumb_pipeline.domain.variants import RENDER_REVISION, VariantSpec
from thumb_pipeline_tests.analytics.tables import (
    DECODER,
    KEY,
    SMALL,
    THUMB,
    WEBP,
    file,
    frame,
    path,
    record,
    refusal,
    source,
    spec,
)

pytestmark = pytest.mark.quick

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
FRAME_AT = "3 s"


def judged(
    *,
    sources: list[dict[str, Any]] | None = None,
    recorded: list[dict[str, Any]] | None = None,
    actual: list[dict[str, Any]] | None = None,
    recipe: VariantSpec = THUMB,
    n_timelapses: int = 1,
    retry_failed: bool = False,
) -> list[dict[str, Any]]:
    """The state rows; without arguments one source, its record and its file, all in order."""
    return (
        variant_states(
            frame([source()] if sources is None else sources, source()),
            records(
                frame([record()] if recorded is None else recorded, record(reason="")),
                recipe,
                decoder=DECODER,
                frame_at=FRAME_AT,
                now=NOW,
            ),
            frame([file()] if actual is None else actual, file()),
            recipe,
            n_timelapses=n_timelapses,
            retry_failed=retry_failed,
        )
        .sort("timelapse", "source_name")
        .collect()
        .to_dicts()
    )


def only(**tables: Any) -> dict[str, Any]:
    (row,) = judged(**tables)
    return row


def state(**tables: Any) -> str:
    return str(only(**tables)["state"])


def test_a_variant_as_recorded_of_a_source_as_recorded_is_valid() -> None:
    assert only() == {
        "timelapse": KEY,
        "source_name": "a.jpg",
        "n_bytes": 1000,
        "mtime_ns": 5,
        "captured_at": None,
        "variant_path": "thumbnails/a.jpg_thumb.jpg",
        "state": "valid",
        "is_present": True,
        "known_digest": None,
        "superseded_path": None,
        "superseded_source": None,
    }


def test_without_a_file_a_variant_is_missing_whatever_its_record_says() -> None:
    assert state(actual=[]) == "missing"
    assert state(actual=[], recorded=[]) == "missing"
    assert state(actual=[], sources=[source(n_bytes=1)]) == "missing"
    assert not only(actual=[])["is_present"]


def test_a_file_without_a_record_is_examined() -> None:
    assert state(recorded=[]) == "examine"


@pytest.mark.parametrize("changed", [{"n_bytes": 78}, {"mtime_ns": 98}])
def test_a_file_that_is_not_as_recorded_is_examined(changed: dict[str, int]) -> None:
    assert state(actual=[file(**changed)]) == "examine"
    assert state(actual=[file(**changed)], sources=[source(mtime_ns=6)]) == "examine"


@pytest.mark.parametrize("changed", [{"n_bytes": 999}, {"mtime_ns": 4}])
def test_a_source_that_is_not_as_recorded_makes_its_variant_stale(changed: dict[str, int]) -> None:
    assert state(sources=[source(**changed)]) == "stale_source"


@pytest.mark.parametrize("changed", [{"spec_fingerprint": "0" * 16}, {"render_revision": RENDER_REVISION - 1}])
def test_another_recipe_makes_a_variant_stale(changed: dict[str, Any]) -> None:
    assert state(recorded=[record(**changed)]) == "stale_spec"


def test_a_changed_source_wins_over_a_changed_recipe() -> None:
    assert state(sources=[source(n_bytes=1)], recorded=[record(spec_fingerprint="0" * 16)]) == "stale_source"


@pytest.mark.parametrize("recorded", [[], [record()], [refusal()]])
@pytest.mark.parametrize("actual", [[], [file()]])
def test_a_pending_source_wins_over_everything(recorded: list[dict[str, Any]], actual: list[dict[str, Any]]) -> None:
    pending = [source(state="pending")]
    assert state(sources=pending, recorded=recorded, actual=actual, retry_failed=True) == "pending"


@pytest.mark.parametrize("actual", [[], [file()]])
def test_a_refusal_stands_while_nothing_relevant_changed(actual: list[dict[str, Any]]) -> None:
    assert state(recorded=[refusal()], actual=actual) == "failed"


@pytest.mark.parametrize(
    "changed",
    [
        {"decoder": "yesterday's"},
        {"spec_fingerprint": "0" * 16},
        {"render_revision": RENDER_REVISION - 1},
    ],
)
def test_a_refusal_is_tried_again_when_something_relevant_changed(changed: dict[str, Any]) -> None:
    assert state(recorded=[refusal(**changed)], actual=[]) == "retry"


@pytest.mark.parametrize(
    ("attempts", "retry_at", "found"),
    [
        (1, NOW + SECOND, "failed"),
        (1, NOW, "retry"),
        (3, NOW - SECOND, "retry"),
        (4, None, "failed"),
        (None, None, "retry"),
    ],
    ids=[
        "before its time",
        "at its time",
        "after its time",
        "tried often enough",
        "never counted",
    ],
)
def test_a_refusal_that_may_pass_stands_until_its_time(
    attempts: int | None, retry_at: datetime | None, found: str
) -> None:
    recorded = [refusal(reason="unreadable", attempts=attempts, retry_at=retry_at)]
    assert state(recorded=recorded, actual=[]) == found
    assert state(recorded=recorded, actual=[], retry_failed=True) == "retry"
    assert state(recorded=recorded, actual=[], sources=[source(n_bytes=1)]) == "missing"


def test_a_refusal_that_is_to_be_tried_later_than_any_delay_allows_is_tried_now() -> None:
    def states_at(retry_at: datetime) -> bool:
        recorded = frame([refusal(reason="unreadable", attempts=1, retry_at=retry_at)], record(reason=""))
        latest = NOW + 60 * SECOND
        found = records(recorded, THUMB, decoder=DECODER, frame_at=FRAME_AT, now=NOW, latest_retry_at=latest)
        return bool(found.collect()["r_stands"].item())

    assert states_at(NOW + SECOND)
    assert states_at(NOW + 60 * SECOND)
    assert not states_at(NOW + 61 * SECOND)
    assert not states_at(NOW)


def test_a_refusal_that_repeats_itself_has_no_time() -> None:
    assert state(recorded=[refusal(attempts=1, retry_at=NOW - SECOND)], actual=[]) == "failed"


@pytest.mark.parametrize(("shown", "found"), [(None, "valid"), (FRAME_AT, "valid"), ("4 s", "stale_spec")])
def test_another_moment_makes_only_the_variants_of_videos_stale(shown: str | None, found: str) -> None:
    assert state(recorded=[record(frame_at=shown)]) == found


def test_a_refusal_is_tried_again_when_asked() -> None:
    assert state(recorded=[refusal()], actual=[], retry_failed=True) == "retry"


def test_a_refused_source_that_changed_is_like_a_new_one() -> None:
    assert state(recorded=[refusal()], actual=[], sources=[source(n_bytes=1)]) == "missing"
    assert state(recorded=[refusal()], sources=[source(n_bytes=1)]) == "examine"  # as a file without a record


def test_a_touched_source_has_a_digest_to_ask_for() -> None:
    assert only(sources=[source(mtime_ns=6)])["known_digest"] == "ab" * 16


@pytest.mark.parametrize(
    "tables",
    [
        {},
        {"sources": [source(n_bytes=1)]},
        {"sources": [source(mtime_ns=6)], "recorded": [record(spec_fingerprint="0" * 16)]},
        {"sources": [source(mtime_ns=6)], "recorded": [refusal()]},
        {"sources": [source(mtime_ns=6)], "actual": []},
        {"sources": [source(mtime_ns=6)], "actual": [file(n_bytes=1)]},
        {"sources": [source(mtime_ns=6)], "recorded": [record(source_digest=None)]},
    ],
)
def test_with_anything_else_amiss_the_bytes_are_not_asked(tables: dict[str, Any]) -> None:
    assert only(**tables)["known_digest"] is None


def test_a_variant_that_moved_supersedes_the_file_at_its_old_place() -> None:
    found = only(recipe=WEBP)
    assert found["variant_path"] == "thumbnails/a.jpg_thumb.webp"
    assert (found["state"], found["is_present"], found["superseded_path"]) == ("stale_spec", False, path("a.jpg"))


def test_a_file_at_the_new_place_is_examined_and_the_old_one_stays_known() -> None:
    found = only(recipe=WEBP, actual=[file(), file(path("a.jpg", WEBP))])
    assert (found["state"], found["superseded_path"]) == ("examine", path("a.jpg"))


def test_a_record_of_a_file_that_is_gone_supersedes_nothing() -> None:
    found = only(recipe=WEBP, actual=[])
    assert (found["state"], found["superseded_path"]) == ("missing", None)


def test_a_refused_successor_leaves_its_predecessor_known() -> None:
    refused = refusal(spec_fingerprint=WEBP.fingerprint, reason="unreadable")
    found = only(recipe=WEBP, recorded=[refused])
    assert (found["state"], found["superseded_path"]) == ("retry", path("a.jpg"))


def test_records_and_files_of_other_variants_do_not_count() -> None:
    other = file(path("a.jpg", SMALL))
    found = only(recorded=[record(recipe=SMALL)], actual=[other])
    assert (found["state"], found["superseded_path"]) == ("missing", None)


def test_variants_that_swapped_their_folders_see_each_others_files() -> None:
    swapped = spec(folder="smalls", tag="small")
    found = only(recipe=swapped, actual=[file(), file(path("a.jpg", SMALL))])
    assert (found["state"], found["superseded_path"]) == ("examine", path("a.jpg"))


def test_equal_names_in_other_timelapses_are_other_sources() -> None:
    other = "camera-2/timelapse-1"
    found = judged(
        sources=[source(), source(timelapse=other)],
        recorded=[record(), refusal(timelapse=other)],
        actual=[file()],
        n_timelapses=2,
    )
    assert [(row["timelapse"], row["state"]) for row in found] == [(KEY, "valid"), (other, "failed")]


@pytest.mark.parametrize("n_timelapses", [1, 2])
def test_every_source_has_exactly_one_state(n_timelapses: int) -> None:
    names = [f"{n}.jpg" for n in range(6)]
    found = judged(
        sources=[source(name) for name in names],
        recorded=[record("0.jpg"), record("1.jpg"), refusal("2.jpg"), record("gone.jpg"), record("5.jpg", SMALL)],
        actual=[file(path("0.jpg")), file(path("3.jpg")), file(path("gone.jpg"))],
        n_timelapses=n_timelapses,
    )
    assert [row["state"] for row in found] == ["valid", "missing", "failed", "examine", "missing", "missing"]
    assert [row["source_name"] for row in found] == names


def test_no_sources_have_no_states() -> None:
    assert judged(sources=[]) == []
    assert pl.DataFrame(judged()).height == 1
