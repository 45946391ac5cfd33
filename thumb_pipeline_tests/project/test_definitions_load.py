"""The code location loads anywhere: no settings, no variables, no library, another folder."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.daemon

LOAD = """
import json
import dagster as dg
from thumb_pipeline.definitions import defs
loaded = defs()
assert isinstance(loaded, dg.Definitions), loaded
print(json.dumps(sorted(key.to_user_string() for key in loaded.resolve_all_asset_keys())))
"""


def run_python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run code with warnings as errors and an environment of nothing at all."""
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, check=False, cwd=folder, env={}, capture_output=True, text=True, timeout=120)


def test_definitions_load_with_an_empty_environment_from_any_folder(tmp_path: Path) -> None:
    done = run_python(LOAD, tmp_path)
    assert done.returncode == 0, done.stderr
    assert {"image_inventory", "missing_thumbnails", "thumbnails"} <= set(json.loads(done.stdout))


def test_loading_definitions_writes_nothing(tmp_path: Path) -> None:
    done = run_python(LOAD, tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []
