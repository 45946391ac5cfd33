"""Makes libraries to measure on: real frames for rendering, and huge ones of hard links with written records.

Half a million files cost nothing when they are links: 60,000 to an inode, as ext4 allows 65,000.
"""

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from thumb_pipeline.analytics.expected import expected_variants
from thumb_pipeline.datasets.schemas import INVENTORY, MANIFEST
from thumb_pipeline.domain.capture_times import Basis
from thumb_pipeline.domain.settings import for_timelapse
from thumb_pipeline.domain.variants import RENDER_REVISION
from thumb_pipeline.imaging.demo.sky import sky_jpeg
from thumb_pipeline.imaging.sources.decoders import decoder_version
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.library.open import initialise, open_library

_LINKS_AN_INODE = 60_000
_FRAME_SIZE = (1920, 1080)
_N_DRAWN = 24


def frames_library(root: Path, n_frames: int) -> Library:
    """One timelapse of 1080p frames: copies of two dozen drawn skies, so that each is a file of its own."""
    initialise(str(root))
    folder = root / "cameras/camera-1/timelapse-1/frames"
    folder.mkdir(parents=True, exist_ok=True)
    drawn = [sky_jpeg(number / _N_DRAWN, size=_FRAME_SIZE, seed=7) for number in range(_N_DRAWN)]
    for number, name in enumerate(_names(n_frames)):
        path = folder / name
        if not path.exists():
            path.write_bytes(drawn[number % _N_DRAWN])
    return open_library(str(root))


def linked_library(root: Path, n_timelapses: int, n_sources: int) -> Library:
    """`n_sources` in all, spread over timelapses, each with its variants and with records that say all is well."""
    if root.exists():
        shutil.rmtree(root)
    initialise(str(root))
    library = open_library(str(root))
    each = n_sources // n_timelapses
    for number in range(1, n_timelapses + 1):
        key = f"camera-{(number - 1) // 20 + 1}/timelapse-{number}"
        _fill(library, key, list(_names(each, number)))
    return library


def add_frame(library: Library, key: str, name: str) -> None:
    """One new frame, written as a camera would."""
    Path(library.frames(key), name).write_bytes(sky_jpeg(0.5, size=_FRAME_SIZE, seed=7))


def _names(count: int, timelapse: int = 1) -> list[str]:
    """Names of frames ten seconds apart."""
    start = datetime(2020, 1, 1, tzinfo=UTC)
    return [
        f"timelapse-{timelapse}_{start + timedelta(seconds=10 * number):%Y%m%d_%H%M%S}.jpg" for number in range(count)
    ]


def _fill(library: Library, key: str, names: list[str]) -> None:
    specs = for_timelapse(library.settings, key).specs
    rows = pl.DataFrame({"timelapse": [key] * len(names), "source_name": names})
    expected = expected_variants(rows.lazy(), specs).collect()
    sources = _link(Path(library.frames(key)), rows["source_name"].to_list(), sky_jpeg(0.4, size=_FRAME_SIZE, seed=7))
    variants = _link(
        Path(library.variants(key)), expected["variant_path"].to_list(), b"\xff\xd8\xff" + bytes(8000) + b"\xff\xd9"
    )
    now = datetime.now(UTC)
    inventory = rows.with_columns(
        captured_at=pl.lit(now),
        captured_at_basis=pl.lit(Basis.NAME.value),
        clock=pl.lit(for_timelapse(library.settings, key).clock.name),
        first_seen_at=pl.lit(now),
        looked_at=pl.lit(now),
        state=pl.lit("settled"),
        digest=pl.lit("0" * 32),
        format=pl.lit("JPEG"),
        width_px=pl.lit(1920),
        height_px=pl.lit(1080),
    ).join(sources, on="source_name")
    library.inventory.merge(key, _completed(inventory, INVENTORY.columns))
    planned = expected.join(sources, on="source_name").rename(
        {"n_bytes": "source_n_bytes", "mtime_ns": "source_mtime_ns"}
    )
    manifest = planned.join(variants.rename({"source_name": "variant_path"}), on="variant_path").with_columns(
        state=pl.lit("made"),
        origin=pl.lit("rendered"),
        source_digest=pl.lit("0" * 32),
        render_revision=pl.lit(RENDER_REVISION),
        decoder=pl.lit(decoder_version()),
        width_px=pl.lit(200),
        height_px=pl.lit(113),
        checksum=pl.lit("0" * 32),
        render_ms=pl.lit(20.0),
        run_id=pl.lit("benchmark"),
        recorded_at=pl.lit(now),
    )
    library.manifest.merge(key, _completed(manifest, MANIFEST.columns))


def _link(folder: Path, names: list[str], content: bytes) -> pl.DataFrame:
    """Makes files of equal content; returns source_name, n_bytes, mtime_ns."""
    found: list[tuple[str, int, int]] = []
    for start in range(0, len(names), _LINKS_AN_INODE):
        batch = names[start : start + _LINKS_AN_INODE]
        first = folder / batch[0]
        first.parent.mkdir(parents=True, exist_ok=True)
        first.write_bytes(content)
        status = first.stat()
        found += [(name, status.st_size, status.st_mtime_ns) for name in batch]
        for name in batch[1:]:
            path = folder / name
            if path.parent != first.parent:
                path.parent.mkdir(parents=True, exist_ok=True)
            os.link(first, path)
    return pl.DataFrame(
        found, schema={"source_name": pl.String, "n_bytes": pl.Int64, "mtime_ns": pl.Int64}, orient="row"
    )


def _completed(rows: pl.DataFrame, columns: dict[str, pl.DataType | type[pl.DataType]]) -> pl.DataFrame:
    absent = [pl.lit(None, kind).alias(name) for name, kind in columns.items() if name not in rows.columns]
    return rows.with_columns(absent).select(pl.col(name).cast(kind) for name, kind in columns.items())
