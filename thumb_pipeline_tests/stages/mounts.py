"""Command lines that run what follows them with mounts of their own; gone with it."""

import shutil
import subprocess

import pytest


def mounted(*commands: str) -> list[str]:
    """A command line that makes mounts of its own, then runs what follows."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-Urm", "true"], check=False).returncode:
        pytest.skip("needs to make mounts of its own: unshare -Urm")
    return ["unshare", "-Urm", "sh", "-ec", "; ".join([*commands, 'exec "$@"']), "sh"]
