"""What `up` makes of a state folder and a library that go away while it runs."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from thumb_pipeline.cli.dagster.places import Places, StateGone
from thumb_pipeline.stages.library.open import initialise, open_library

pytestmark = pytest.mark.quick


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A library with an instance in its state folder, which lies elsewhere."""
    root = tmp_path / "library"
    initialise(str(root))
    settings = root / "thumbs.toml"
    settings.write_text(settings.read_text().replace('state = ".thumb_pipeline"', f'state = "{tmp_path}/state"'))
    library = open_library(str(root))
    library.claim_state()
    Path(library.dagster_home).mkdir(parents=True)
    assert (tmp_path / "state/dagster").is_dir()
    return root


@pytest.fixture
def places(root: Path) -> Iterator[Places]:
    places = Places(open_library(str(root)))
    yield places
    places.close()


def test_a_state_that_stays_is_no_trouble(root: Path, places: Places) -> None:
    (root.parent / "state" / "up.log").write_text("said")
    places.refuse_other_state()


@pytest.mark.parametrize("path", ["state", "state/dagster"])
def test_a_state_that_was_renamed_or_deleted_ends_it_with_the_next_step(root: Path, places: Places, path: str) -> None:
    gone = root.parent / path
    gone.rename(root.parent / "renamed")
    with pytest.raises(StateGone) as why:
        places.refuse_other_state()
    assert str(why.value) == (
        f"{root.parent}/state, in which up worked, is gone (renamed, deleted or unmounted), so its services were "
        "ended; put it back and start up again, or start up with the library where it is now"
    ).replace(f"{root.parent}/state,", f"{gone},")
    (root.parent / "renamed").rename(gone)
    places.refuse_other_state()
    shutil.rmtree(gone)
    with pytest.raises(StateGone):
        places.refuse_other_state()


@pytest.mark.parametrize("path", ["state", "state/dagster"])
def test_another_folder_in_the_place_of_the_state_ends_it(root: Path, places: Places, path: str) -> None:
    copy = root.parent / "copy"
    shutil.copytree(root.parent / path, copy)
    (root.parent / path).rename(root.parent / "renamed")
    copy.rename(root.parent / path)
    with pytest.raises(StateGone, match="is another folder than before"):
        places.refuse_other_state()


def test_a_file_in_the_place_of_the_state_ends_it(root: Path, places: Places) -> None:
    (root.parent / "state").rename(root.parent / "renamed")
    (root.parent / "state").write_text("a file")
    with pytest.raises(StateGone):
        places.refuse_other_state()


def test_a_library_that_goes_away_is_told_once_and_once_that_it_is_back(
    root: Path, places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    def said_after_a_while() -> list[str]:
        for _ in range(4):
            places.tell()
            time.sleep(0.3)  # the answer of another process
        return capsys.readouterr().err.splitlines()

    assert said_after_a_while() == []
    root.rename(root.parent / "unmounted")
    gone = f"{root}/thumbs.toml is gone: mount its disk, or put it back; captures wait until then"
    assert said_after_a_while() == [gone]
    root.mkdir()
    assert said_after_a_while() == []  # an empty mount point is no library
    root.rmdir()
    (root.parent / "unmounted").rename(root)
    assert said_after_a_while() == [f"{root}/thumbs.toml is back; captures are followed again"]
    assert said_after_a_while() == []
    places.refuse_other_state()
