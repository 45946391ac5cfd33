"""Commands and services whose clock ran ahead by a year and was set back: real processes, a shifted clock."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from thumb_pipeline_tests.cli.conftest import Archive, Run, dagster_instance
from thumb_pipeline_tests.cli.served import said_by_up, until, up
from thumb_pipeline_tests.shifted_clock import commands_ahead

pytestmark = pytest.mark.daemon

FUTURE_DAYS = 400
DAY_S = 86_400


def all_valid(archive: Archive, run: Run) -> bool:
    return run("verify", "--library", archive.root).code == 0


def spoil(archive: Archive) -> dict[str, bytes]:
    """Deletes one variant and corrupts another; returns them as they were."""
    before = archive.variants()
    lost, corrupt = sorted(before)[:2]
    (archive.root / lost).unlink()
    (archive.root / corrupt).write_bytes(b"no picture")
    return {name: before[name] for name in (lost, corrupt)}


def test_a_library_written_in_the_future_is_put_right_by_generate_alone(archive: Archive, run: Run) -> None:
    archive.fill(4)
    with commands_ahead(days=FUTURE_DAYS):
        assert run("generate", "--library", archive.root, "--json").json["rendered"] == 8
        spoiled = spoil(archive)
        assert run("generate", "--library", archive.root, "--json").json["rendered"] == 2
    spoil(archive)
    assert run("generate", "--library", archive.root, "--json").json["rendered"] == 2
    assert {name: archive.variants()[name] for name in spoiled} == spoiled
    assert run("generate", "--force", "--library", archive.root, "--json").json["rendered"] == 8
    spoil(archive)
    assert run("regenerate", "--all", "--library", archive.root, "--json").json["rendered"] == 8
    assert all_valid(archive, run)


def test_a_status_of_a_library_written_in_the_future_speaks_no_nonsense(archive: Archive, run: Run) -> None:
    archive.fill(2)
    archive.add("broken.jpg", b"no picture")
    with commands_ahead(days=FUTURE_DAYS):
        assert run("generate", "--library", archive.root).code == 1
    told = run("status", "--library", archive.root)
    assert told.code == 0
    assert "last 24 h: 0 variants made, 0 sources failed; in all 1 failed" in told.out
    assert "broken.jpg: not_an_image" in told.out
    assert "at an unknown time, by a clock that ran ahead" in told.out
    assert " ago" not in told.out
    assert not re.search(r" -\d", told.out)
    assert run("status", "--library", archive.root, "--json").json["completed_24h"] == 0


def test_a_sweep_by_a_clock_that_ran_ahead_empties_no_trash_and_says_why(archive: Archive, run: Run) -> None:
    archive.fill(4)
    assert run("generate", "--library", archive.root).code == 0
    before = archive.variants()
    removed = run("purge", "--variant", "small", "--apply", "--yes", "--library", archive.root, "--json").json
    lost = min(archive.variants())
    with commands_ahead(days=FUTURE_DAYS):
        (archive.root / Path(lost).parent / "strange.jpg").write_bytes(b"mine")
        swept = run("sweep", "--apply", "--force", "--library", archive.root)
        assert swept.code == 0
        assert "would have expired: the clock went ahead by 400 days since it was looked at last" in swept.err
        assert f"to empty the trash now: thumb-pipeline trash --empty {removed['run_id']}" in swept.err
        listed = run("trash", "--library", archive.root, "--json")
        assert [entry["n_files"] for entry in listed.json["entries"]] == [4, 1]
        assert "the clock went ahead by 400 days" in listed.err
        assert run("trash", "--expired", "--library", archive.root, "--json").json["emptied"] == []
    expired = run("trash", "--expired", "--library", archive.root, "--json")
    assert expired.json["emptied"] == []
    assert run("restore", removed["run_id"], "--library", archive.root, "--json").json["restored"] == 4
    assert archive.variants() == before


def moments_of(archive: Archive) -> dict[str, list[float]]:
    """What Dagster noted of when it asked which sensor or schedule last."""
    with dagster_instance(archive) as instance:
        return {
            state.instigator_name: [
                value
                for name in ("last_tick_timestamp", "last_tick_start_timestamp", "last_iteration_timestamp")
                if (value := getattr(state.instigator_data, name, None))
            ]
            for state in instance.all_instigator_state()
        }


def is_ahead(at_s: float) -> bool:
    return at_s > datetime.now(UTC).timestamp() + DAY_S


@pytest.mark.usefixtures("storage")
def test_after_up_ran_in_the_future_the_next_one_renders_new_captures(archive: Archive, run: Run) -> None:
    archive.fill(1)
    with commands_ahead(days=FUTURE_DAYS), up(archive):
        until(lambda: len(archive.variants()) == 2, "captures by a clock that ran ahead")
        until(lambda: all(moments_of(archive).get(name) for name in ("new_captures_sensor", "nightly_verify")), "ticks")
    asked = moments_of(archive)
    assert all(is_ahead(at_s) for moments in asked.values() for at_s in moments)
    with up(archive):
        archive.add("now.jpg")
        until(lambda: len(archive.variants()) == 4, "captures after the clock was set back")
        assert not any(is_ahead(at_s) for moments in moments_of(archive).values() for at_s in moments)
    assert all_valid(archive, run)


def test_an_up_whose_clock_is_set_back_starts_its_daemon_again_and_goes_on(archive: Archive) -> None:
    archive.fill(1)
    with commands_ahead(days=FUTURE_DAYS) as set_clock, up(archive):
        until(lambda: len(archive.variants()) == 2, "captures by a clock that ran ahead")
        set_clock(0)
        until(lambda: "the clock went back by 400 days; the daemon is started again" in said(archive), "a restart")
        until(lambda: not any(is_ahead(at) for moments in moments_of(archive).values() for at in moments), "free ticks")
        archive.add("now.jpg")
        until(lambda: len(archive.variants()) == 4, "captures after the clock was set back")


def said(archive: Archive) -> str:
    return said_by_up(archive).read_text()
