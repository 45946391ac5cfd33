from pathlib import Path

import pytest

from thumb_pipeline_tests.stages.archives import Archive


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """An empty library with one timelapse."""
    return Archive(tmp_path / "library")


@pytest.fixture
def done(archive: Archive) -> Archive:
    """A library with two sources and their four variants."""
    archive.frame("a.jpg", color=1)
    archive.frame("b.jpg", color=2)
    assert archive.run().counts == {"rendered": 4}
    return archive
