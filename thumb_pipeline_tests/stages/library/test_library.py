"""Opening and initialising a library: what is refused, and that nothing is written before."""

import os
from pathlib import Path

import pytest

from thumb_pipeline.domain.settings.written import default_settings
from thumb_pipeline.stages.library.open import initialise, open_library
from thumb_pipeline.stages.library.refused import Refused

pytestmark = pytest.mark.quick


def library(root: Path, settings: str = "") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "thumbs.toml").write_text(settings)
    return root


def refusal(root: Path) -> str:
    before = sorted(root.rglob("*")) if root.is_dir() else []
    with pytest.raises(Refused) as refused:
        open_library(str(root))
    assert (sorted(root.rglob("*")) if root.is_dir() else []) == before
    return str(refused.value)


def test_initialising_writes_the_default_settings_and_nothing_else(tmp_path: Path) -> None:
    assert initialise(str(tmp_path / "new" / "library"))
    assert os.listdir(tmp_path / "new" / "library") == ["thumbs.toml"]
    assert (tmp_path / "new" / "library" / "thumbs.toml").read_text() == default_settings()
    open_library(str(tmp_path / "new" / "library"))


def test_initialising_twice_changes_nothing(tmp_path: Path) -> None:
    library(tmp_path, "# mine\n")
    assert not initialise(str(tmp_path))
    assert (tmp_path / "thumbs.toml").read_text() == "# mine\n"


def test_initialising_over_settings_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    library(tmp_path, "timezon = 'UTC'")
    with pytest.raises(Refused, match=r"thumbs\.toml: timezon = .*did you mean timezone"):
        initialise(str(tmp_path))
    assert (tmp_path / "thumbs.toml").read_text() == "timezon = 'UTC'"


def test_a_file_cannot_be_made_a_library(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(Refused, match="cannot be made a library"):
        initialise(str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "mine"


def test_what_is_not_there_is_no_library(tmp_path: Path) -> None:
    assert "check the path, and the mount" in refusal(tmp_path / "absent")


def test_a_folder_without_settings_is_no_library_yet(tmp_path: Path) -> None:
    assert f"thumb-pipeline init {tmp_path}" in refusal(tmp_path)


@pytest.mark.parametrize("settings", ["timezone = ", "[variants", "\x00"])
def test_settings_that_are_no_toml_are_refused_with_their_line(tmp_path: Path, settings: str) -> None:
    assert "is not TOML" in refusal(library(tmp_path, settings))


@pytest.mark.parametrize("number", ["9" * 5000, "0x" + "f" * 5000, f"-{2**63 + 1}", str(2**63)])
@pytest.mark.parametrize("line", ["settle_interval_s = {}", "retries.delays_s = [1.0, {}]", "zzz = {}"])
def test_a_number_that_nobody_could_read_is_refused(tmp_path: Path, line: str, number: str) -> None:
    assert "is not TOML: it has a number of more than 64 bits" in refusal(library(tmp_path, line.format(number)))


@pytest.mark.parametrize(
    "settings",
    [
        *(f"{opening * n}1{closing * n}" for opening, closing in [("[", "]"), ("{a = ", "}")] for n in (20, 3_000)),
        f"{'a.' * 20_000}b",
    ],
    ids=["lists", "many lists", "tables", "many tables", "many keys"],
)
def test_settings_nested_without_end_are_refused(tmp_path: Path, settings: str) -> None:
    text = f"{settings} = 1" if settings.endswith("b") else f"zzz = {settings}"
    assert "is not TOML: it nests tables or lists more than 20 deep" in refusal(library(tmp_path, text))


@pytest.mark.parametrize("number", [2**63 - 1, 300])
def test_a_large_number_that_is_one_is_judged_by_its_meaning(tmp_path: Path, number: int) -> None:
    opened = open_library(str(library(tmp_path, f"verification.rolling_bytes = {number}")))
    assert opened.settings.verification.rolling_bytes == number


def test_settings_that_are_no_utf8_are_refused(tmp_path: Path) -> None:
    (tmp_path / "thumbs.toml").write_bytes(b"# \xff\n")
    assert "is not TOML" in refusal(tmp_path)


def test_every_line_of_a_refusal_names_the_file(tmp_path: Path) -> None:
    lines = refusal(library(tmp_path, "zzz = 1\ntimezone = 'x'")).splitlines()
    assert len(lines) == 2
    assert all(line.startswith(str(tmp_path / "thumbs.toml")) for line in lines)


@pytest.mark.parametrize("key", ["state", "variants"])
@pytest.mark.parametrize(
    "where",
    ["cameras", "cameras/x", "./cameras", "x/../cameras/camera-1", "{root}/cameras", "..", "/", "link", "link/deeper"],
)
def test_folders_that_overlap_the_sources_are_refused(tmp_path: Path, key: str, where: str) -> None:
    root = tmp_path / "library"
    (root / "cameras").mkdir(parents=True)
    (root / "link").symlink_to(root / "cameras")
    library(root, f'[storage]\n{key} = "{where.format(root=root)}"')
    message = refusal(root)
    assert f"storage.{key} = " in message
    assert "overlaps cameras/" in message
    assert "choose a folder outside of it" in message


def test_the_library_itself_is_no_place_for_state(tmp_path: Path) -> None:
    assert "storage.state" in refusal(library(tmp_path, '[storage]\nstate = "."'))


@pytest.mark.parametrize(("state", "variants"), [("a", "a"), ("a/b", "a"), ("a", "a/b"), ("a/../b", "./b")])
def test_state_and_variants_may_not_lie_in_one_another(tmp_path: Path, state: str, variants: str) -> None:
    message = refusal(library(tmp_path, f'[storage]\nstate = "{state}"\nvariants = "{variants}"'))
    assert "storage.variants = " in message
    assert "overlaps storage.state" in message


def test_sources_behind_a_link_are_protected_where_they_really_are(tmp_path: Path) -> None:
    (tmp_path / "disk" / "cameras").mkdir(parents=True)
    root = library(tmp_path / "library", f'[storage]\nstate = "{tmp_path / "disk"}"')
    (root / "cameras").symlink_to(tmp_path / "disk" / "cameras")
    assert "overlaps cameras/" in refusal(root)


def test_state_and_variants_may_lie_on_other_disks(tmp_path: Path) -> None:
    root = library(tmp_path / "library", f'[storage]\nstate = "{tmp_path}/s"\nvariants = "../v"')
    opened = open_library(str(root))
    assert (opened.state, opened.variants_root) == (str(tmp_path / "s"), str(tmp_path / "v"))
    key = "camera-1/timelapse-1"
    assert opened.variants(key) == str(tmp_path / "v/cameras/camera-1/timelapse-1")
    assert opened.frames(key) == str(root / "cameras/camera-1/timelapse-1/frames")


def test_a_neighbour_with_a_longer_name_does_not_overlap(tmp_path: Path) -> None:
    opened = open_library(str(library(tmp_path, '[storage]\nstate = "cameras-state"')))
    assert opened.state == str(tmp_path / "cameras-state")


def test_opening_writes_nothing(tmp_path: Path) -> None:
    open_library(str(library(tmp_path)))
    assert os.listdir(tmp_path) == ["thumbs.toml"]


def test_a_library_may_be_reached_through_a_link(tmp_path: Path) -> None:
    root = library(tmp_path / "library")
    (tmp_path / "link").symlink_to(root)
    assert open_library(str(tmp_path / "link")).root == str(root)


@pytest.mark.parametrize("key", ["state", "variants"])
def test_a_path_that_no_disk_takes_is_refused(tmp_path: Path, key: str) -> None:
    assert f"storage.{key} = " in refusal(library(tmp_path, f'[storage]\n{key} = "a\\u0000b"'))


def test_a_state_folder_that_cannot_be_made_is_refused_with_the_remedy(tmp_path: Path) -> None:
    opened = open_library(str(library(tmp_path, '[storage]\nstate = "thumbs.toml"')))
    with pytest.raises(Refused, match=r"cannot be written .*storage\.state"), opened.lease():
        pass
