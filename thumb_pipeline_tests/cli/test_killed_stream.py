"""Processes killed at random moments of a stream of frames; a hundred with `--tier long`."""

import pytest

from thumb_pipeline_tests.cli.conftest import Archive
from thumb_pipeline_tests.cli.killing import run_with_kills
from thumb_pipeline_tests.conftest import is_long

pytestmark = [pytest.mark.daemon, pytest.mark.usefixtures("storage")]


def test_every_frame_has_its_variants_whoever_was_killed(archive: Archive, request: pytest.FixtureRequest) -> None:
    n_kills = 100 if is_long(request.config) else 6
    settings = archive.root / "thumbs.toml"
    settings.write_text(settings.read_text().replace("linger_s = 30.0", "linger_s = 1.0"))
    outcome = run_with_kills(archive, n_kills, seed=5, gap_s=(0.5, 3.0), patience_s=400.0)
    assert outcome.faults == []
    assert len(outcome.kills) == n_kills
    killed = {kill.victim for kill in outcome.kills}
    assert killed >= {"run", "daemon", "daemon's code server"}, killed
    assert outcome.n_frames > 10
