from pathlib import Path

import pytest

from thumb_pipeline_tests.cli.conftest import Run

pytestmark = pytest.mark.quick


def test_init_writes_the_settings_and_never_changes_them(run: Run, tmp_path: Path) -> None:
    root = tmp_path / "new library"
    assert run("init", root).code == 0
    settings = root / "thumbs.toml"
    settings.write_text(settings.read_text() + "\n# mine\n")
    again = run("init", root, "--json")
    assert (again.code, again.json["created"]) == (0, False)
    assert settings.read_text().endswith("# mine\n")


def test_init_on_a_file_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = run("init", tmp_path / "file")
    assert refused.code == 2
    assert "cannot be made a library" in refused.err


def test_settings_that_cannot_be_used_are_refused_with_key_value_and_remedy(run: Run, tmp_path: Path) -> None:
    run("init", tmp_path)
    settings = tmp_path / "thumbs.toml"
    settings.write_text(settings.read_text().replace("max_width_px = 200", "max_width_px = 0"))
    for command in ("plan", "generate", "stats"):
        refused = run(command, "--library", tmp_path)
        assert refused.code == 2
        assert "variants.thumbnail.max_width_px = 0" in refused.err
    assert [path.name for path in tmp_path.iterdir()] == ["thumbs.toml"]


def test_an_unknown_option_is_a_usage_error(run: Run) -> None:
    assert run("generate", "--colour").code == 2
