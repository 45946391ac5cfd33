"""Frames of two real cameras through the console script; skipped where the corpus is not there."""

import hashlib
import shutil
from pathlib import Path

import pytest
from PIL import Image

from thumb_pipeline.domain.geometry import variant_size
from thumb_pipeline.domain.settings import Settings
from thumb_pipeline_tests.cli.conftest import Archive, Run

pytestmark = [pytest.mark.daemon, pytest.mark.corpus]

SPECS = Settings().specs


def test_all_frames_of_two_real_cameras_get_both_variants(archive: Archive, run: Run, corpus: Path) -> None:
    cameras = {
        "camera-1/timelapse-1": sorted((corpus / "timelapse/webcam_feed").glob("*.jpg")),
        "camera-2/timelapse-2": sorted((corpus / "timelapse").glob("CIRN*/c1/*.jpg")),
    }
    for key, originals in cameras.items():
        archive.frames(key).mkdir(parents=True)
        for original in originals:
            shutil.copy2(original, archive.frames(key))
    sources = [path for key in cameras for path in sorted(archive.frames(key).iterdir())]
    assert len(sources) == 136
    before = [hashlib.sha256(path.read_bytes()).digest() for path in sources]

    done = run("generate", "--library", archive.root, "--json")

    assert done.code == 0, done.err
    assert (done.json["sources"], done.json["rendered"], done.json["failed"]) == (136, 272, 0)
    for source in sources:
        for name, tag in (("thumbnail", "thumb"), ("small", "small")):
            variant = source.parents[1] / SPECS[name].folder / f"{source.name}_{tag}.jpg"
            with Image.open(source) as original, Image.open(variant) as made:
                made.load()
                assert original.getexif().get(0x0112, 1) == 1  # these cameras stand upright
                assert made.size == variant_size(original.size, SPECS[name])
    assert [hashlib.sha256(path.read_bytes()).digest() for path in sources] == before
    again = run("generate", "--library", archive.root, "--json").json
    assert (again["rendered"], again["unchanged"]) == (0, 272)
