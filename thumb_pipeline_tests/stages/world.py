"""A library in the hands of cameras, operators and disks that do anything to it, one step at a time, repeatably.

What is made of it is in `operations`, what must be reported of it in `naive_checker`.
"""

import hashlib
import io
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from PIL import Image

KEYS = ("camera-1/timelapse-1", "camera-2/timelapse-2")
NAMES = (
    b"timelapse-1_20250422_143022.jpg",
    b"timelapse-1_day003_110000.jpg",
    b"a.jpg",
    b"a.jpg_small.jpg",  # as its own small would be called
    b"b.JPG",
    b"\xff\xfe.jpg",
    b"50%.jpg",
    b"line\nbreak \x1b[1m.jpg",
    "é.jpg".encode(),
    "e\u0301.jpg".encode(),
    b"n" * 251 + b".jpg",
    "ü".encode() * 120 + b".jpg",
    b"a~" + b"0" * 32,
    b"..jpg",
    b".hidden.jpg",
    b"upload.jpg.part",
)
FOREIGN_NAMES = (b"README.txt", b"gone.jpg_small.jpg", b"gone.jpg_thumb.jpg", b".DS_Store", b"a.jpg_mini.jpg", b"\xff")
FOREIGN_FOLDERS = ("smalls", "thumbnails", "minis", "larges", "overlays", "videos", "mine")
KILLED = "0badf00d"
TEMPORARY = ".tp-{writer}-1-{n}"

_DEFAULTS: dict[str, dict[str, Any]] = {
    "thumbnail": {"folder": "thumbnails", "tag": "thumb", "max_width_px": 16, "max_height_px": 12},
    "small": {"folder": "smalls", "tag": "small", "max_width_px": 32, "max_height_px": 24},
}
_LARGE: dict[str, Any] = {"folder": "larges", "tag": "large", "max_width_px": 60}

SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"small": {"quality": 40}},
    {"small": {"format": "png"}},
    {"small": {"format": "webp", "quality": 60}},
    {"small": {"folder": "minis"}},
    {"small": {"folder": "minis", "format": "png"}},
    {"small": {"folder": "thumbnails"}},
    {"small": {"tag": "mini"}},
    {"small": {"max_width_px": 20}},
    {"thumbnail": {"quality": 40}},
    {"thumbnail": {"format": "webp"}},
    {"small": _DEFAULTS["thumbnail"], "thumbnail": _DEFAULTS["small"]},  # names exchanged
    {"small": None, "tiny": _DEFAULTS["small"]},  # the same files under another variant's name
    {"small": None},
    {"large": _LARGE},
    {"large": {**_LARGE, "folder": "smalls"}},
    {"policy": {"variants": ["thumbnail"]}},
    {f"policy {KEYS[0]}": {"variants": ["thumbnail"]}},
    {f"policy {KEYS[1]}": {"variants": ["thumbnail"]}, "small": {"folder": "minis"}},
    {"policy": {"small_generation_mode": "latest_only"}},
    {"policy": {"small_generation_mode": "latest_only"}, "small": {"format": "png"}},
    {f"policy {KEYS[0]}": {"small_generation_mode": "latest_only"}, "small": {"folder": "minis"}},
    {"policy": {"small_generation_mode": "none"}, f"policy {KEYS[1]}": {"small_generation_mode": "all"}},
    {f"policy {KEYS[0].split('/')[0]}": {"generate_thumbnails": False}},
    {"policy": {"purge_smalls_on_completion": True}, f"timelapse {KEYS[0]}": {"status": "completed"}},
    {f"timelapse {KEYS[0]}": {"corrupt_names": ["a.jpg"], "corrupt_patterns": ["timelapse-*", "?.JPG"]}},
    {"policy": {"retention.thumbnail": {"keep_days": 1, "then_every_s": 5}}},  # all but growing frames are years old
    {"policy": {"retention.small": {"keep_days": 1}, "small_generation_mode": "latest_only"}},
    {f"policy {KEYS[0]}": {"since": date(2024, 1, 1), "small_generation_mode": "latest_only"}},
)
"""What may be said differently from the defaults; each change is made on the defaults, or on the last one."""


class World:
    """A library's folder, and everything that happens to it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "library"
        self.being_written: set[Path] = set()
        self.said: dict[str, Any] = {}
        self._tick = 0
        (folder / "neighbour").mkdir()
        (folder / "neighbour" / "a.jpg").write_bytes(b"somebody else's")
        for key in KEYS:
            (self.root / "cameras" / key / "frames").mkdir(parents=True)
        self.settings({})

    # settings

    def settings(self, change: dict[str, Any], *, on_top: bool = False) -> None:
        self.said = {**(self.said if on_top else {}), **change}
        variants = {name: dict(table) for name, table in _DEFAULTS.items()}
        for name, table in self.said.items():
            if " " in name or name == "policy":
                continue
            variants[name] = {**variants.get(name, {}), **(table or {})}
            if table is None:
                del variants[name]
        lines = [f"settle_interval_s = {0.1 if self.being_written else 0.0}", "[rendering]", "workers = 1"]
        for name, table in variants.items():
            lines += [f"[variants.{name}]", *(f"{key} = {_toml(value)}" for key, value in table.items())]
        for name, table in self.said.items():
            what, _, whose = name.partition(" ")
            place = f'{"timelapses" if "/" in whose else "cameras"}."{whose}"' if whose else ""
            if whose or what == "policy":
                where = ".".join(filter(None, [place, what.removeprefix("timelapse")]))
                lines += [f"[{where}]", *(f"{key} = {_toml(value)}" for key, value in table.items())]
        (self.root / "thumbs.toml").write_text("\n".join(lines) + "\n")

    # sources

    def frames(self, key: str) -> Path:
        return self.root / "cameras" / key / "frames"

    def sources(self) -> list[Path]:
        found = [path for key in KEYS for path in _files(self.frames(key))]
        return [path for path in found if path not in self.being_written]

    def n_frames_behind_the_newest(self) -> int:
        """How many frames could become the newest by refusals of others; none where policies do not ask for it."""
        return len(self.sources()) if "latest_only" in (self.root / "thumbs.toml").read_text() else 0

    def capture(self, key: str, name: bytes, size: tuple[int, int], color: int) -> None:
        path = self.frames(key) / os.fsdecode(name)
        self.being_written.discard(path)
        self._write(path, _jpeg(size, color))

    def begin_frame(self, key: str, name: bytes) -> None:
        path = self.frames(key) / os.fsdecode(name)
        if not path.name.startswith(".") and not path.name.endswith(".part"):
            self._write(path, _jpeg((64, 48), 200)[:300])
            self.being_written.add(path)
            self.settings({}, on_top=True)

    def finish_frames(self) -> None:
        if not self.being_written:
            return
        for path in self.being_written:
            self._write(path, _jpeg((64, 48), 201))
        self.being_written.clear()
        self.settings({}, on_top=True)

    def edit_source(self, how: str, which: int, name: bytes) -> None:
        path = _one(self.sources(), which)
        if path is None:
            return
        target = path.with_name(os.fsdecode(name))
        if how == "replace":
            self._write(path, _jpeg((50, 20 + which % 40), which))
        elif how == "replace with the same size":
            data = path.read_bytes()
            self._write(path, data[:-8] + bytes([which % 256]) + data[-7:])
        elif how == "touch":
            self._touch(path)
        elif how == "break":
            self._write(path, path.read_bytes()[: which % 300])
        elif how == "delete":
            path.unlink()
        elif target not in self.being_written:
            path.replace(target)  # how == "rename"

    def delete_all_sources(self, key: str, *, also_folder: bool) -> None:
        self.being_written = {path for path in self.being_written if path.parent != self.frames(key)}
        for path in _files(self.frames(key)):
            path.unlink()
        if also_folder:
            shutil.rmtree(self.root / "cameras" / key, ignore_errors=True)

    # variants

    def variants(self) -> list[Path]:
        folders = sorted({*FOREIGN_FOLDERS[:4]})
        return [path for key in KEYS for folder in folders for path in _files(self.root / "cameras" / key / folder)]

    def edit_variant(self, how: str, which: int, other: int) -> None:
        path, second = _one(self.variants(), which), _one(self.variants(), other)
        if path is None or second is None:
            return
        data = path.read_bytes()
        if how == "cut":
            self._write(path, data[: other % (len(data) + 1)])
        elif how == "flip":
            place = other % max(len(data), 1)
            self._write(path, data[:place] + bytes(b ^ 16 for b in data[place : place + 1]) + data[place + 1 :])
        elif how == "touch":
            self._touch(path)
        elif how == "delete":
            path.unlink()
        elif how == "swap":
            self._write(path, second.read_bytes())
            self._write(second, data)
        elif how == "copy":
            self._write(path, second.read_bytes())
        elif how == "rename":
            path.replace(path.with_name(os.fsdecode(FOREIGN_NAMES[other % len(FOREIGN_NAMES)])))
        elif how == "move":
            folder = self.root / "cameras" / KEYS[other % 2] / FOREIGN_FOLDERS[other % 3]
            folder.mkdir(parents=True, exist_ok=True)
            path.replace(folder / path.name)
        else:  # how == "foreign"
            self._write(path, _jpeg((10, 10), other))

    def rot_variant(self, which: int, place: int) -> None:
        """What a disk does: other bytes, and nothing else that tells."""
        path = _one(self.variants(), which)
        if path is not None:
            mtime_ns = path.stat().st_mtime_ns
            self.edit_variant("flip", which, place)
            os.utime(path, ns=(0, mtime_ns))

    def foreign_file(self, key: str, folder: str, name: bytes, kind: str) -> None:
        path = self.root / "cameras" / key / folder / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "temporary":
            lease = self.root / ".thumb_pipeline" / "leases" / f"{KILLED}.lease"
            lease.parent.mkdir(parents=True, exist_ok=True)
            with open(lease, "a") as file:
                file.write(f"{key}/{folder}\n")
        if kind in ("temporary", "foreign temporary"):
            writer = KILLED if kind == "temporary" else "0badcafe"
            self._write(path.with_name(TEMPORARY.format(writer=writer, n=len(name))), b"half")
        elif path.exists() or path.is_symlink():
            return
        elif kind == "folder":
            path.mkdir()
        elif kind == "link":
            path.symlink_to(self.root.parent / "neighbour" / "a.jpg")
        else:
            self._write(path, b"not ours")

    # disks and records

    def lose(self, what: str) -> None:
        path = self.root / ".thumb_pipeline" / what
        if path.is_dir():
            shutil.rmtree(path)

    def back_up(self, what: str) -> None:
        kept = self.root.parent / "backup" / what
        shutil.rmtree(kept, ignore_errors=True)
        if (self.root / what).is_dir():
            shutil.copytree(self.root / what, kept, symlinks=True)

    def restore_backup(self, what: str) -> None:
        kept = self.root.parent / "backup" / what
        if kept.is_dir():
            shutil.rmtree(self.root / what, ignore_errors=True)
            shutil.copytree(kept, self.root / what, symlinks=True)
            self.being_written.clear()
            for key in KEYS:
                self.frames(key).mkdir(parents=True, exist_ok=True)

    def restore_with_other_mtimes(self) -> None:
        for path in [*self.sources(), *self.variants()]:
            self._touch(path)

    @contextmanager
    def writing(self) -> Iterator[list[float]]:
        """While the block runs, every unfinished frame grows; gives the longest pause (s) between two growths."""
        stop, pauses = threading.Event(), [0.0]

        def write() -> None:
            last = time.monotonic()
            while not stop.wait(0.005):
                for path in self.being_written:
                    with open(path, "ab") as file:
                        file.write(b"\0")
                pauses[0] = max(pauses[0], time.monotonic() - last)
                last = time.monotonic()

        thread = threading.Thread(target=write, daemon=True)
        if self.being_written:
            thread.start()
        try:
            yield pauses
        finally:
            stop.set()
            if thread.is_alive():
                thread.join()

    def everything(self) -> dict[str, tuple[str, int]]:
        """Digest and mtime of every file and link around and in the library but for its state and growing sources."""
        found = {}
        for top, folders, files in os.walk(self.root.parent):
            folders[:] = [name for name in folders if name != ".thumb_pipeline"]
            for name in files:
                path = Path(top, name)
                if path not in self.being_written:
                    found[str(path.relative_to(self.root.parent))] = (_digest(path), os.lstat(path).st_mtime_ns)
        return found

    def _write(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self._touch(path)

    def _touch(self, path: Path) -> None:
        self._tick += 1
        os.utime(path, ns=(0, (1_700_000_000 + self._tick) * 1_000_000_000))


def _files(folder: Path) -> list[Path]:
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted((path for path in found if path.is_file() and not path.is_symlink()), key=os.fsencode)


def _one(paths: list[Path], which: int) -> Path | None:
    return paths[which % len(paths)] if paths else None


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + "}"
    return str(value) if isinstance(value, date) else json.dumps(value)


def _jpeg(size: tuple[int, int], color: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (color % 256, 120, 60)).save(buffer, "JPEG")
    return buffer.getvalue()


def _digest(path: Path) -> str:
    return os.readlink(path) if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest()
