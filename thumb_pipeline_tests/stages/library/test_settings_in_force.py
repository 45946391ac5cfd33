"""Which settings are in force while the file changes: what services open, and what is kept for them."""

import os
import time
from pathlib import Path

import pytest

from thumb_pipeline.domain.settings import for_timelapse
from thumb_pipeline.stages.library import settings_in_force
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.library.open import open_library
from thumb_pipeline.stages.library.refused import Refused, SettingsTrouble, SettingsUnusable
from thumb_pipeline.stages.rendering import work_orders
from thumb_pipeline_tests.stages.archives import KEY, Archive, run_id

pytestmark = pytest.mark.quick

VALID = "settle_interval_s = 3.0\n"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings_in_force, "_STANDS_STILL_S", 0.0)


def write(root: Path, text: str | bytes) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "thumbs.toml").write_bytes(text.encode() if isinstance(text, str) else text)
    return root


def opened(root: Path) -> Library:
    return settings_in_force.open_in_force(str(root))


def trouble(root: Path) -> SettingsTrouble:
    found = opened(root).trouble
    assert found is not None
    return found


def kept(state: Path) -> str:
    return (state / "last-valid-thumbs.toml").read_text()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A library that a service has opened once."""
    write(tmp_path, VALID)
    assert opened(tmp_path).trouble is None
    return tmp_path


@pytest.mark.parametrize(
    "unusable",
    [
        *(
            "settle_interval_s = ",
            "[variants",
            "nonsense",
            b"# \xff\n",
            "zzz = 1",
            "settle_interval_s = -1",
            "storage = 5",
            f"settle_interval_s = {'9' * 5000}",
            f"settle_interval_s = 0x{'f' * 5000}",
            f"zzz = {'[' * 3000}{']' * 3000}",
        ),
        *("[storage]\nstate = 5", "[storage]\nstate = 'cameras'", "[storage]\nvariants = '.thumb_pipeline/x'"),
    ],
)
def test_what_cannot_be_used_leaves_the_last_usable_settings_in_force(root: Path, unusable: str | bytes) -> None:
    write(root, unusable)
    found = opened(root)
    assert found.settings.settle_interval_s == 3.0
    assert found.trouble is not None
    assert found.state == str(root / ".thumb_pipeline")


def test_a_file_that_cannot_be_read_leaves_them_in_force_too(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "thumbs.toml").unlink()
    (root / "thumbs.toml").symlink_to("/proc/self/mem")  # a file that nobody, root included, reads from its start
    assert "cannot be read" in str(trouble(root))
    assert opened(root).settings.settle_interval_s == 3.0


def test_the_trouble_names_the_file_every_fault_and_since_when_what_is_in_force(root: Path) -> None:
    write(root, "zzz = 1\ntimezone = 'x'")
    found = trouble(root)
    assert len(found.faults) == 2
    assert all(fault.startswith(str(root / "thumbs.toml")) for fault in found.faults)
    assert f"the settings of {found.in_force_since:%Y-%m-%d %H:%M} UTC stay in force" in str(found)
    assert abs(found.in_force_since.timestamp() - time.time()) < 60


def test_a_file_that_is_put_right_is_in_force_again(root: Path) -> None:
    write(root, "nonsense")
    assert opened(root).trouble is not None
    write(root, "settle_interval_s = 4.0")
    assert opened(root).trouble is None
    assert opened(root).settings.settle_interval_s == 4.0
    write(root, "nonsense")
    assert opened(root).settings.settle_interval_s == 4.0


def test_a_missing_file_is_refused_whatever_is_kept(root: Path) -> None:
    (root / "thumbs.toml").unlink()
    with pytest.raises(Refused, match="check the mount"):
        opened(root)


def test_where_nothing_was_ever_kept_the_faults_are_told(tmp_path: Path) -> None:
    write(tmp_path, "zzz = 1")
    with pytest.raises(SettingsUnusable, match="zzz"):
        opened(tmp_path)
    assert os.listdir(tmp_path) == ["thumbs.toml"]


def test_kept_settings_that_cannot_be_used_either_are_no_help(root: Path) -> None:
    (root / ".thumb_pipeline" / "last-valid-thumbs.toml").write_text("from = 'another version'")
    write(root, "zzz = 1")
    with pytest.raises(SettingsUnusable, match="zzz"):
        opened(root)


def test_settings_are_written_once_and_only_when_they_differ(root: Path) -> None:
    path = root / ".thumb_pipeline" / "last-valid-thumbs.toml"
    before = path.stat()
    opened(root)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    write(root, VALID + "# a word\n")
    opened(root)
    assert kept(root / ".thumb_pipeline") == VALID + "# a word\n"


def test_a_state_that_cannot_be_written_is_no_reason_to_fail(tmp_path: Path) -> None:
    write(tmp_path, "[storage]\nstate = 'thumbs.toml'")
    assert opened(tmp_path).trouble is None
    settings_in_force.keep(open_library(str(tmp_path)))


@pytest.mark.parametrize("home", ["dagster", None])
@pytest.mark.parametrize("fault", ["\nzzz = 1", "\nzzz = "])
def test_a_state_elsewhere_is_found_by_the_file_as_far_as_it_goes_or_by_the_running_services(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str | None, fault: str
) -> None:
    root, state = tmp_path / "library", tmp_path / "elsewhere"
    said = f"{VALID}[storage]\nstate = '{state}'"
    opened(write(root, said))
    write(root, said + fault)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    if home:
        monkeypatch.setenv("DAGSTER_HOME", str(state / home))
    if home or "1" in fault:
        assert opened(root).state == str(state)
    else:
        with pytest.raises(SettingsUnusable, match="is not TOML"):
            opened(root)


def test_the_state_of_another_library_is_not_taken_for_this_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write(tmp_path / "other", VALID)
    opened(other)
    monkeypatch.setenv("DAGSTER_HOME", str(other / ".thumb_pipeline" / "dagster"))
    with pytest.raises(SettingsUnusable):
        opened(write(tmp_path / "library", "nonsense"))


def test_a_changed_file_is_given_a_moment_to_be_whole(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings_in_force, "_STANDS_STILL_S", 0.4)
    write(root, "")  # an editor has begun to write: valid, and not what is meant

    def end_of_writing(_seconds: float) -> None:
        write(root, "settle_interval_s = 5.0")
        os.utime(root / "thumbs.toml", (time.time() - 10, time.time() - 10))

    monkeypatch.setattr(time, "sleep", end_of_writing)
    assert opened(root).settings.settle_interval_s == 5.0
    assert kept(root / ".thumb_pipeline") == "settle_interval_s = 5.0"


def test_a_command_does_not_keep_what_an_editor_may_still_be_writing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings_in_force, "_STANDS_STILL_S", 60.0)
    write(root, "")
    settings_in_force.keep(open_library(str(root)))
    assert kept(root / ".thumb_pipeline") == VALID


def test_nothing_is_removed_by_settings_that_nobody_can_see(root: Path) -> None:
    settings_in_force.refuse_trouble(opened(root))
    write(root, "zzz = 1")
    with pytest.raises(Refused, match=r"zzz.*\nnothing is removed"):
        settings_in_force.refuse_trouble(opened(root))


# Orders of work


def test_an_order_is_carried_out_by_the_recipes_it_was_placed_by(done: Archive) -> None:
    done.settings(small="quality = 30")
    placed_by = done.library
    work_orders.place(placed_by, done.plan(), run_id("order"))
    done.settings(small="quality = 20", rendering="max_memory_mb = 512")
    now = work_orders.library_of(done.library, run_id("order"))
    assert now.settings.specs == placed_by.settings.specs
    assert now.settings.rendering.max_memory_mb == 512
    assert for_timelapse(now.settings, KEY).specs == for_timelapse(placed_by.settings, KEY).specs


def test_an_unfinished_order_by_other_recipes_is_not_resumed(done: Archive) -> None:
    work_orders.place(done.library, done.plan(force=True), run_id("order"), asked="all")
    assert work_orders.list_unfinished(done.library, "all") == run_id("order")
    done.settings(rendering="deadline_s = 9.0")
    assert work_orders.list_unfinished(done.library, "all") == run_id("order")
    done.settings(small="quality = 20")
    assert work_orders.list_unfinished(done.library, "all") is None
