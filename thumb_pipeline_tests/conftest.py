"""What tests of every part share. Pictures and libraries that one part needs are made in its own tests."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of real pictures; a test that uses it is skipped where there is none."""
    named = os.environ.get("THUMB_PIPELINE_CORPUS")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "corpus"
    if not folder.is_dir():
        pytest.skip(f"no real pictures at {folder}: set THUMB_PIPELINE_CORPUS to the folder that holds them")
    return folder
