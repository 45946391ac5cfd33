from pathlib import Path

import pytest

from thumb_pipeline_tests.stages.archives import Archive


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """An empty library with one timelapse."""
    return Archive(tmp_path / "library")
