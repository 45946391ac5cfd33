"""A stream of frames into several timelapses, as cameras write them, and a look at what became of each.

The frames have two colours each, so that a picture of the wrong source or of an old version shows. Who is killed
meanwhile is in `killing`.
"""

import hashlib
import io
import os
import random
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from PIL import Image

from thumb_pipeline_tests.cli.conftest import Archive

SIZE = (640, 480)
_WIDTHS_PX = {"thumbnails": ("thumb", (200, 150)), "smalls": ("small", (640, 480))}  # nothing is enlarged
_LIKE = 12
_LOOK_EVERY_S = 0.15

Color = tuple[int, ...]


@dataclass(slots=True, kw_only=True)
class Frame:
    """One version of one frame: what was written, when it was closed (monotonic) and was whole, when it was shown."""

    path: Path
    data: bytes
    colors: tuple[Color, Color]
    closed_s: float = 0.0
    complete_ns: int = 0
    done_s: float | None = None

    def variants(self) -> list[tuple[Path, tuple[int, int]]]:
        """The files that are to be, with their sizes in pixels."""
        top = self.path.parents[1]
        return [(top / f / f"{self.path.name}_{tag}.jpg", size) for f, (tag, size) in _WIDTHS_PX.items()]

    def is_shown(self) -> bool:
        """Whether both variants are there and no older than this version."""
        try:
            return all(path.stat().st_mtime_ns >= self.complete_ns for path, _ in self.variants())
        except OSError:
            return False

    def wrong(self) -> list[str]:
        """What is wrong with the variants, found with Pillow and hashlib alone."""
        found = [] if self.path.read_bytes() == self.data else [f"{self.path}: the source was changed"]
        digest = hashlib.sha256(self.data).hexdigest()[:32].encode()
        for path, size in self.variants():
            try:
                with Image.open(path) as picture:
                    picture.load()
                    seen = [picture.convert("RGB").getpixel((picture.width * n // 4, 50)) for n in (1, 3)]
                    if picture.size != size:
                        found.append(f"{path}: {picture.size} instead of {size}")
                    if not all(map(_alike, seen, self.colors)):
                        found.append(f"{path}: shows {seen} instead of {self.colors}")
                    if digest not in picture.info.get("comment", b""):
                        found.append(f"{path}: its note names other source bytes")
            except (OSError, SyntaxError) as error:
                found.append(f"{path}: {error}")
        return found


def _alike(seen: object, wanted: Color) -> bool:
    return isinstance(seen, tuple) and all(abs(a - b) <= _LIKE for a, b in zip(seen, wanted, strict=True))


class FrameStream:
    """Writes frames and notices variants, each in a thread of its own, until it is stopped. A context."""

    def __init__(self, archive: Archive, chance: random.Random, *, pause_s: float = 0.25) -> None:
        self.frames: dict[Path, Frame] = {}
        self.versions: list[Frame] = []
        self.is_paused = False
        self._archive = archive
        self._chance = chance
        self._pause_s = pause_s
        self._keys = ["camera-1/timelapse-1", "camera-1/timelapse-2", "camera-2/timelapse-3"]
        self._published: dict[str, set[tuple[int, int]]] = defaultdict(set)
        self._is_over, self._is_watched = threading.Event(), threading.Event()
        self._threads = [threading.Thread(target=self._write), threading.Thread(target=self._watch)]
        self._incoming = archive.root / "incoming"
        self._incoming.mkdir()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.end()
        self._is_watched.set()
        self._threads[1].join()

    def end(self) -> None:
        """No further frames; what was written is still watched."""
        self._is_over.set()
        self._threads[0].join()

    def waiting(self) -> list[Frame]:
        """Frames whose newest version has no variants yet."""
        return [frame for frame in list(self.frames.values()) if frame.done_s is None]

    def is_done_until(self, moment_s: float) -> bool:
        """Whether all frames that were closed by then (monotonic) have their variants."""
        return all(frame.closed_s > moment_s for frame in self.waiting())

    def wrong(self) -> list[str]:
        """What is wrong with any variant."""
        return [line for frame in self.frames.values() for line in frame.wrong()]

    def n_repeated(self) -> int:
        """How many variants were published beyond once for each version of their frame, as seen in the folders."""
        written = Counter(version.path for version in self.versions)
        seen = [(frame.path, str(path)) for frame in self.frames.values() for path, _ in frame.variants()]
        return sum(max(0, len(self._published[variant]) - written[source]) for source, variant in seen)

    def _write(self) -> None:
        while not self._is_over.wait(self._chance.expovariate(1 / self._pause_s)):
            if self.is_paused:
                continue
            way = self._chance.choices(["at_once", "slowly", "renamed", "replaced", "new"], [50, 15, 20, 10, 3])[0]
            if way == "new":
                number = len(self._keys) + 1
                self._keys.append(f"camera-{self._chance.randint(1, 3)}/timelapse-{number}")
            path = self._archive.frames(self._chance.choice(self._keys)) / f"frame-{len(self.versions):05d}.jpg"
            if way == "replaced" and self.frames:
                path = self._chance.choice(list(self.frames))
            self._put(path, way)

    def _put(self, path: Path, way: str) -> None:
        frame = _drawn(path, self._chance)
        path.parent.mkdir(parents=True, exist_ok=True)
        target = path if way in ("at_once", "slowly", "new") else self._incoming / "next"
        n_pieces = 5 if way == "slowly" else 1
        with target.open("wb") as file:
            for start in range(0, len(frame.data), len(frame.data) // n_pieces + 1):
                frame.complete_ns = time.time_ns()  # at the last piece: with its end marker a frame may be rendered
                file.write(frame.data[start : start + len(frame.data) // n_pieces + 1])
                file.flush()
                self._is_over.wait(0.3 if n_pieces > 1 else 0.0)
        if target != path:
            target.rename(path)
        frame.closed_s = time.monotonic()
        self.versions.append(frame)
        self.frames[path] = frame

    def _watch(self) -> None:
        while not self._is_watched.wait(_LOOK_EVERY_S):
            for frame in self.waiting():
                if frame.is_shown():
                    frame.done_s = time.monotonic()
            for folder in {path.parent for frame in list(self.frames) for path, _ in self.frames[frame].variants()}:
                self._note_published(folder)

    def _note_published(self, folder: Path) -> None:
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if not entry.name.startswith("."):
                        status = entry.stat()
                        self._published[entry.path].add((status.st_ino, status.st_mtime_ns))
        except FileNotFoundError:
            return  # not made yet, or replaced between listing and stat; the next look tells


def _drawn(path: Path, chance: random.Random) -> Frame:
    left, right = (tuple(chance.randrange(20, 236) for _ in range(3)) for _ in range(2))
    picture = Image.new("RGB", SIZE, left)
    picture.paste(right, (SIZE[0] // 2, 0, *SIZE))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90, subsampling=0)
    return Frame(path=path, data=buffer.getvalue(), colors=(left, right))
