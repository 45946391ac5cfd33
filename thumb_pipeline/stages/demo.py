"""Lays out the frames of the demo library: two cameras, three timelapses, a few hundred pictures of a sky.

They show what archives contain: both published name patterns, a camera's own names, pictures stored sideways, and one
truncated file. `imaging.demo.sky` draws them; their thumbnails are made by the pipeline.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from thumb_pipeline.domain import layout
from thumb_pipeline.imaging.demo.sky import sky_jpeg
from thumb_pipeline.stages.library import clean_up
from thumb_pipeline.stages.library.library import Lease, Library
from thumb_pipeline.storage import publishing

_BY_TIME, _BY_DAY, _PORTRAITS = "camera-1/timelapse-1", "camera-1/timelapse-2", "camera-2/timelapse-3"

_MIDNIGHT = datetime(2025, 4, 22, tzinfo=UTC)
_LANDSCAPE, _PORTRAIT = (1920, 1080), (1080, 1920)
_LYING = 6
"""EXIF orientation of a camera turned to the right: the file is 1920x1080, the picture 1080x1920."""

_BROKEN_OFF = "timelapse-2_day003_110000.jpg"
_KEPT_SHARE = 0.6

_N_THREADS = 2
"""Pillow releases the interpreter lock for most of a frame: two threads take two thirds of the time of one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoFrame:
    """One frame: its path below the library, when it was taken, and how the camera stored it."""

    path: str
    taken_at: datetime
    seed: int
    size: tuple[int, int] = _LANDSCAPE
    orientation: int = 1
    has_exif_time: bool = False


def demo_frames() -> tuple[DemoFrame, ...]:
    """All frames of the demo library, timelapse by timelapse, in the order of capture."""
    return (*_every_ten_minutes(), *_hourly_on_numbered_days(), *_portraits())


def make_demo_frames(library: Library, lease: Lease, *, on_progress: Callable[[int, int], None] | None = None) -> int:
    """Draws the frames that do not exist yet; existing files stay as they are.

    Args:
        library: the demo's.
        lease: ours.
        on_progress: called after each frame with the number drawn and the number that this call draws.

    Returns:
        How many frames were drawn: 0 when the demo library was complete.

    Raises:
        CannotWrite: the disk refused; calling again goes on from there.
    """
    root, frames = Path(library.root), demo_frames()
    folders = sorted({os.path.dirname(root / frame.path) for frame in frames})
    for folder in folders:
        os.makedirs(folder, exist_ok=True)
    clean_up.announce(library, lease, [(key, layout.FRAMES_FOLDER) for key in (_BY_TIME, _BY_DAY, _PORTRAITS)])
    missing = [frame for frame in frames if not os.path.lexists(root / frame.path)]
    _draw(root, missing, lease.id, on_progress or (lambda _done, _total: None))
    return len(missing)


def _draw(root: Path, frames: list[DemoFrame], writer: str, on_progress: Callable[[int, int], None]) -> None:
    pool = ThreadPoolExecutor(_N_THREADS)
    try:
        drawn = as_completed([pool.submit(_write_frame, root, frame, writer) for frame in frames])
        for n_done, future in enumerate(drawn, start=1):
            future.result()
            on_progress(n_done, len(frames))
    finally:
        # After Ctrl-C or a full disk, only the frames being drawn are finished.
        pool.shutdown(cancel_futures=True)


def _write_frame(root: Path, frame: DemoFrame, writer: str) -> None:
    path = os.fsencode(root / frame.path)
    publishing.publish(path, _encoded(frame), writer=writer)
    taken_at_ns = int(frame.taken_at.timestamp()) * 1_000_000_000
    os.utime(path, ns=(taken_at_ns, taken_at_ns))


def _encoded(frame: DemoFrame) -> bytes:
    data = sky_jpeg(
        (frame.taken_at - _MIDNIGHT) / timedelta(days=1),
        size=frame.size,
        seed=frame.seed,
        orientation=frame.orientation,
        captured_at=frame.taken_at if frame.has_exif_time else None,
    )
    return data[: int(len(data) * _KEPT_SHARE)] if frame.path.endswith(_BROKEN_OFF) else data


def _every_ten_minutes() -> Iterator[DemoFrame]:
    folder = _frames_folder(_BY_TIME)
    for step in range(144):
        taken_at = _MIDNIGHT + timedelta(minutes=10 * step)
        yield DemoFrame(path=f"{folder}/timelapse-1_{taken_at:%Y%m%d_%H%M%S}.jpg", taken_at=taken_at, seed=1)


def _hourly_on_numbered_days() -> Iterator[DemoFrame]:
    folder = _frames_folder(_BY_DAY)
    for hour in range(96):
        taken_at = _MIDNIGHT + timedelta(hours=hour)
        name = f"timelapse-2_day{hour // 24 + 1:03}_{taken_at:%H%M%S}.jpg"
        yield DemoFrame(path=f"{folder}/{name}", taken_at=taken_at, seed=0, has_exif_time=True)


def _portraits() -> Iterator[DemoFrame]:
    folder = _frames_folder(_PORTRAITS)
    for step in range(72):
        yield DemoFrame(
            path=f"{folder}/IMG_{step + 12:04}.JPG",
            taken_at=_MIDNIGHT + timedelta(hours=4, minutes=15 * step),
            seed=2,
            size=_PORTRAIT,
            orientation=_LYING,
            has_exif_time=True,
        )


def _frames_folder(key: str) -> str:
    return f"{layout.timelapse_folder(key)}/{layout.FRAMES_FOLDER}"
