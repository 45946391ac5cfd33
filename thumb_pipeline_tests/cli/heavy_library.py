"""A library with everything made, that takes a while to be made again."""

import io
import os
from pathlib import Path

from PIL import Image

from thumb_pipeline_tests.cli.conftest import Archive, Run

KEYS = ["camera-1/timelapse-1", "camera-1/timelapse-2", "camera-2/timelapse-3"]


def rendered_library(root: Path, run: Run, n_frames: int) -> Archive:
    """Timelapses whose frames take a while each, all of them rendered; from now on by one worker."""
    archive = Archive(root)
    assert run("init", root).code == 0
    buffer = io.BytesIO()
    Image.frombytes("RGB", (1600, 1200), os.urandom(1600 * 1200 * 3)).save(buffer, "PNG", compress_level=1)
    first = archive.add("a.png", buffer.getvalue(), KEYS[0])
    for number, key in enumerate(KEYS, 1):
        archive.frames(key).mkdir(parents=True, exist_ok=True)
        for frame in range(n_frames):
            os.link(first, archive.frames(key) / f"timelapse-{number}_20250422_{frame:06d}.png")
    first.unlink()
    assert run("generate", "--library", archive.root).code == 0
    settings = archive.root / "thumbs.toml"
    settings.write_text(settings.read_text().replace("workers = 0", "workers = 1"))
    return archive
