"""`thumbs.toml`, the copy of it that is kept, the id of a library: of any content, used or refused in a sentence."""

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thumb_pipeline.domain.clocks import moment
from thumb_pipeline.domain.settings import Settings, SettingsError, for_timelapse, parse_settings
from thumb_pipeline.domain.settings.written import default_settings
from thumb_pipeline.stages.library.open import open_with
from thumb_pipeline.stages.library.refused import SettingsUnusable
from thumb_pipeline.stages.library.run_database import _ensure_id, _read_id
from thumb_pipeline.stages.library.settings_in_force import KEPT_NAME, open_in_force, peek
from thumb_pipeline_tests.mutations import EDITS, Edit, mutated
from thumb_pipeline_tests.stages.archives import KEY, Archive

pytestmark = pytest.mark.quick

TABLES = {name: field.annotation for name, field in Settings.model_fields.items()}
KEYS = sorted({*TABLES, *(key for kind in TABLES.values() for key in getattr(kind, "model_fields", {}))})
VALUES = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(),
        st.text(max_size=10),
        st.dates(),
        st.datetimes(),
        st.times(),
        st.sampled_from(["\0", "\x1b[2J", "../..", "/", "~", "camera-1/timelapse-1", "small", "jpeg", "#ffffff", KEY]),
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=4,
)


@settings(max_examples=150, deadline=None)
@given(EDITS)
def test_a_spoiled_file_is_used_or_refused(tmp_path_factory: pytest.TempPathFactory, edits: list[Edit]) -> None:
    root = str(tmp_path_factory.getbasetemp())
    written = mutated(default_settings().encode(), edits, default_settings().encode())
    with contextlib.suppress(SettingsUnusable):
        assert for_timelapse(open_with(root, written).settings, KEY).clock.name


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=3), st.sampled_from(KEYS))
def test_any_values_in_any_tables_are_used_or_refused(written: dict[str, Any], table: str) -> None:
    for tables in (written, {table: written}, {"cameras": {"camera-1": written}}, {"timelapses": {KEY: written}}):
        with contextlib.suppress(SettingsError):
            assert for_timelapse(parse_settings(tables), KEY).clock.name


NO_FILE: dict[str, Callable[[Path], object]] = {
    "a folder": Path.mkdir,
    "a pipe": os.mkfifo,
    "a link to nothing": lambda path: path.symlink_to("not there"),
    "a loop": lambda path: path.symlink_to(path.name),
    "an endless file": lambda path: path.symlink_to("/dev/zero"),
    "bytes of no text": lambda path: path.write_bytes(b"\xff\xfe\0\0" * 100),
    "nothing": lambda path: path.touch(),
}


@pytest.fixture
def troubled(archive: Archive) -> Archive:
    """A library whose file cannot be used, and whose last usable settings are kept."""
    open_in_force(str(archive.root))
    kept = Path(archive.library.state, KEPT_NAME)
    kept.parent.mkdir(exist_ok=True)
    kept.write_text((archive.root / "thumbs.toml").read_text())
    (archive.root / "thumbs.toml").write_text("no = [settings")
    return archive


def kept_in(archive: Archive) -> Path:
    return archive.root / ".thumb_pipeline" / KEPT_NAME


def test_the_kept_settings_are_in_force(troubled: Archive) -> None:
    assert peek(str(troubled.root)).trouble is not None


@pytest.mark.parametrize("kind", [kind for kind in NO_FILE if kind != "nothing"])  # that is a file of defaults
def test_what_is_no_copy_of_settings_is_as_none(troubled: Archive, kind: str) -> None:
    path = kept_in(troubled)
    path.unlink()
    NO_FILE[kind](path)
    with pytest.raises(SettingsUnusable, match="is not TOML"):
        peek(str(troubled.root))


@pytest.mark.parametrize("seconds", [-(2**40), 2**40, 253_402_300_800])
def test_a_copy_from_beyond_the_calendar_is_used(troubled: Archive, seconds: int) -> None:
    try:
        os.utime(kept_in(troubled), (seconds, seconds))
    except OverflowError:
        pytest.skip("this disk keeps no such time")
    trouble = peek(str(troubled.root)).trouble
    assert trouble is not None
    assert str(trouble)


def test_the_moment_of_any_mtime_can_be_shown() -> None:
    for seconds in (-(2.0**62), -1.0, 0.0, 2.0**40, 2.0**62):
        assert len(f"{moment(seconds):%Y-%m-%d}") >= 10


@pytest.mark.parametrize("kind", [kind for kind in NO_FILE if kind != "a folder"])
def test_what_is_no_id_of_a_library_is_replaced_by_one(archive: Archive, kind: str) -> None:
    library = archive.library
    path = Path(library.state, "library-id")
    path.parent.mkdir(parents=True)
    NO_FILE[kind](path)
    assert _read_id(library.state) is None
    made = _ensure_id(library)
    assert _read_id(library.state) == made
    assert path.is_file()
    shutil.copytree(
        library.state, archive.root / "copy", ignore=lambda folder, names: [n for n in names if n == "dagster"]
    )
    assert _read_id(str(archive.root / "copy")) == made
