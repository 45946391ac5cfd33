"""A small library on disk for the tests of stages: tiny frames, tiny variants, one worker."""

import hashlib
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
from PIL import ExifTags, Image

from thumb_pipeline.domain import names
from thumb_pipeline.stages.inventory.listing import list_sources
from thumb_pipeline.stages.inventory.selection import Selection
from thumb_pipeline.stages.inventory.survey import Survey, accept, survey
from thumb_pipeline.stages.library import clean_up
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.library.open import open_library
from thumb_pipeline.stages.planning.plan import Plan, make_plan
from thumb_pipeline.stages.rendering import accept_plan
from thumb_pipeline.stages.rendering.chunk import ChunkResult
from thumb_pipeline.stages.rendering.latest_only import render_rows

KEY = "camera-1/timelapse-1"
SETTLE_S = 0.1

_SETTINGS = """\
settle_interval_s = {settle_s}
{top}
[rendering]
workers = 1
{rendering}
[variants.thumbnail]
folder = "thumbnails"
tag = "thumb"
max_width_px = 16
max_height_px = 12
{thumbnail}
[variants.small]
folder = "smalls"
tag = "small"
max_width_px = 32
max_height_px = 24
{small}
{more}
"""


@dataclass(frozen=True, kw_only=True)
class Done:
    """What one plan, record, render came to."""

    plan: Plan
    result: ChunkResult

    @property
    def by_reason(self) -> dict[str, int]:
        return dict(self.plan.rows.group_by("reason").len().iter_rows())

    @property
    def rendered(self) -> int:
        return sum(counts.rendered for counts in self.result.by_timelapse.values())

    @property
    def unchanged(self) -> int:
        return self.plan.n_valid + sum(counts.unchanged for counts in self.result.by_timelapse.values())

    @property
    def adopted(self) -> int:
        return self.plan.n_adopted

    @property
    def failed(self) -> int:
        return self.plan.n_failed + sum(counts.failed for counts in self.result.by_timelapse.values())

    @property
    def pending(self) -> int:
        return self.plan.n_pending + sum(counts.pending for counts in self.result.by_timelapse.values())

    @property
    def counts(self) -> dict[str, int]:
        """Those that are not zero."""
        found = {name: getattr(self, name) for name in ("rendered", "adopted", "unchanged", "failed", "pending")}
        return {name: n for name, n in found.items() if n}

    @property
    def reasons(self) -> dict[str, str]:
        """Why sources failed, by key/name."""
        return {name: reason for name, reason, _ in self.result.failures}


@dataclass
class Archive:
    """A library in a folder, and what tests do to it."""

    root: Path
    said: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.frames().mkdir(parents=True, exist_ok=True)
        self.settings()

    @property
    def library(self) -> Library:
        return open_library(str(self.root))

    def settings(self, **parts: str) -> None:
        """Writes thumbs.toml; parts stay as they are until they are given again."""
        self.said.update(parts)
        defaults = {"settle_s": str(SETTLE_S), **dict.fromkeys(("top", "rendering", "thumbnail", "small", "more"), "")}
        (self.root / "thumbs.toml").write_text(_SETTINGS.format(**{**defaults, **self.said}))

    def frames(self, key: str = KEY) -> Path:
        return self.root / "cameras" / key / "frames"

    def frame(
        self,
        name: str | bytes = "a.jpg",
        *,
        key: str = KEY,
        size: tuple[int, int] = (64, 48),
        color: int = 0,
        exif: str | None = None,
    ) -> Path:
        """A JPEG of one colour in frames/; equal arguments make equal bytes."""
        path = self.path(name, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        written = Image.Exif()
        if exif is not None:
            written.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = exif
        Image.new("RGB", size, (color % 256, 120, 60)).save(path, "JPEG", exif=written)
        return path

    def other(self, name: str | bytes, data: bytes, *, key: str = KEY) -> Path:
        """Any bytes in frames/."""
        path = self.path(name, key)
        path.write_bytes(data)
        return path

    def path(self, name: str | bytes, key: str = KEY) -> Path:
        return self.frames(key) / (os.fsdecode(name) if isinstance(name, bytes) else name)

    def variant(self, name: str | bytes = "a.jpg", variant: str = "small", *, key: str = KEY) -> Path:
        spec = self.library.settings.specs[variant]
        source = name if isinstance(name, bytes) else name.encode()
        made = names.variant_name(source, spec.tag, spec.extension)
        return Path(self.library.variants(key)) / spec.folder / os.fsdecode(made)

    def files(self) -> set[str]:
        """Everything in the tree of cameras, relative to it."""
        top = self.root / "cameras"
        return {os.fsdecode(os.fsencode(path.relative_to(top))) for path in top.rglob("*") if path.is_file()}

    def variant_files(self) -> set[str]:
        return {
            f"{path.parent.name}/{path.name}"
            for path in (self.root / "cameras").rglob("*")
            if path.is_file() and path.parent.name not in ("frames", "overlays", "videos")
        }

    def inventory(self, key: str = KEY) -> pl.DataFrame:
        return self.library.inventory.read([key]).sort("source_name")

    def manifest(self, key: str = KEY) -> pl.DataFrame:
        return self.library.manifest.read([key]).sort("source_name", "variant")

    def killed_lease(self, lease_id: str, *folders: str, key: str = KEY) -> str:
        """What a killed process leaves: its lease, which nobody holds, with the folders that it was writing to."""
        path = Path(self.library.lease_folder, f"{lease_id}.lease")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{key}/{folder}\n" for folder in folders))
        return lease_id

    def plan(self, **selection: object) -> Plan:
        """Plans and records nothing."""
        library = self.library
        with library.lease() as lease:
            return make_plan(library, Selection(**selection), lease)  # type: ignore[arg-type]

    def run(self, **selection: object) -> Done:
        """Plans, records and renders once, as `generate` does."""
        library = self.library
        with library.lease() as lease:
            clean_up.clean_up(library)
            plan = make_plan(library, Selection(**selection), lease)  # type: ignore[arg-type]
            accept_plan.record(library, plan)
            result = ChunkResult() if plan.rows.is_empty() else render_rows(library, plan.rows, lease, run_id="r")
        return Done(plan=plan, result=result)


def run_id(name: str) -> str:
    """An id of a run, always the same for a name."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


def states(folder: Path) -> dict[bytes, tuple[str, int]]:
    """Digest and mtime of every file below a folder."""
    found = {}
    for top, _, files in os.walk(os.fsencode(folder)):
        for name in files:
            path = os.path.join(top, name)
            with open(path, "rb") as file:
                found[path] = (hashlib.sha256(file.read()).hexdigest(), os.stat(path).st_mtime_ns)
    return found


def touch(path: Path, seconds: int = 10) -> None:
    """Moves a file's mtime and nothing else."""
    later = os.stat(path).st_mtime_ns + seconds * 1_000_000_000
    os.utime(path, ns=(later, later))


def surveyed(archive: Archive, *, keys: Sequence[str] = (KEY,), only: Sequence[str] | None = None) -> Survey:
    """Lists, surveys and accepts."""
    found = survey_only(archive, keys=keys, only=only)
    accept(archive.library, found)
    return found


def survey_only(archive: Archive, *, keys: Sequence[str] = (KEY,), only: Sequence[str] | None = None) -> Survey:
    library = archive.library
    return survey(library, [list_sources(library, key, only=only) for key in keys], only=only)
