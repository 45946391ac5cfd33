from pathlib import Path

import pytest
from PIL import Image

from thumb_pipeline_tests.cli.conftest import Run

pytestmark = pytest.mark.daemon


def test_the_demo_makes_a_library_and_can_be_repeated(run: Run, tmp_path: Path) -> None:
    first = run("demo", "sky", cwd=tmp_path)
    assert first.code == 0, first.err
    assert "Coverage" in first.out
    assert "99.6 %" in first.out
    assert "up --library sky" in first.out
    sheet = tmp_path / "sky/.thumb_pipeline/contact-sheet.jpg"
    assert "sky/.thumb_pipeline/contact-sheet.jpg" in first.out
    with Image.open(sheet) as picture:
        picture.load()
    again = run("demo", "sky", "--json", cwd=tmp_path)
    assert (again.code, again.json["rendered"], again.json["failed"]) == (0, 0, 1)


def test_the_demo_never_writes_frames_into_somebody_elses_folder(run: Run, tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"precious")
    refused = run("demo", tmp_path)
    assert refused.code == 2
    assert "is not empty" in refused.err
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]
